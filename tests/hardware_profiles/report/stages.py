"""Folders such as the earlier stages leave behind, small but whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from hardware_profiles.activity import write_activity
from hardware_profiles.artifact import write_json
from hardware_profiles.profile import load_profile
from hardware_profiles.reference import bound_reference
from hardware_profiles.reference_file import write_reference

from ..toy import toy_activity

REQUIRES = ("binary_spikes", "graded_spikes", "dynamic_threshold", "hard_reset")


def rung(title: str, exactness: str, mismatches: int = 0, **changed: Any) -> dict[str, Any]:
    layer = {
        "name": "hidden",
        "compared": 200,
        "mismatches": mismatches,
        "membrane_mismatches": 0,
        "unexplained": None,
        "spikes": 60,
        "silent_neurons": 3,
        "num_neurons": 20,
        "note": "",
    }
    return {"name": title, "left": "left", "right": "right", "class": exactness, "layers": [{**layer, **changed}]}


def parity(*rungs: dict[str, Any]) -> dict[str, Any]:
    return {"format": "axonport-parity-1", "rungs": list(rungs)}


def manifest(stage: str) -> dict[str, Any]:
    return {"stage": stage, "commit": f"c0ffee-{stage}", "version": "0.1.0", "machine": "toy machine", "python": "3.11"}


def write_stages(root: Path, layer_name: str = "hidden", device: str = "Toy GPU") -> dict[str, Path | None]:
    """Write every file of every stage and return the folders."""
    folders: dict[str, Path | None] = {}
    for stage in ("training", "export", "simulation", "scores", "reference"):
        folder = root / stage
        folder.mkdir(parents=True)
        write_json(folder / "manifest.json", manifest(stage))
        folders[stage] = folder
    activity = toy_activity(REQUIRES)
    first, hidden, controller, last = activity.layers
    hidden = dataclasses.replace(hidden, name=layer_name)
    write_activity(
        root / "simulation" / "activity.json", dataclasses.replace(activity, layers=(first, hidden, controller, last))
    )
    write_json(root / "simulation" / "parity.json", parity(rung("specification = Lava", "exact")))
    write_json(
        root / "export" / "parity.json",
        parity(rung("snnTorch = IR", "exact"), rung("float to integer", "quantised", 12, note="rate 0.30 → 0.29")),
    )
    thresholds = {"name": layer_name, "fraction_bits": 6, "min": [60, 61], "median": [64, 65], "max": [70, 80]}
    write_json(root / "simulation" / "thresholds.json", {"layers": [thresholds]})
    accuracy = {
        "format": "axonport-accuracy-1",
        "rows": [
            {"world": "float (snnTorch)", "S": 0.8, "U": 0.6, "HM": 0.6857, "ZSL": 0.7},
            {"world": "Lava fixed_pt", "S": 0.79, "U": 0.6, "HM": 0.682, "ZSL": 0.7},
            {"world": "Lava floating_pt", "S": 0.8, "U": 0.59, "HM": 0.6791, "ZSL": None},
        ],
        "chance": {"S": 0.1, "ZSL": 0.25},
        "context_only": {"S": 0.2, "U": 0.12, "HM": 0.15, "ZSL": 0.3},
        "notes": ["mean class accuracy"],
    }
    write_json(root / "scores" / "accuracy.json", accuracy)
    history = [{"epoch": 0, "loss": 1.5, "val_hm": None, "offset": 0.1}, {"epoch": 1, "loss": 0.5, "val_hm": 60.0}]
    write_json(root / "training" / "metrics.json", {"format": "axonport-training-1", "history": history})
    export = {
        "modules": [{"module": layer_name, "type": "Leaky", "nodes": ["a"], "exactness": "exact", "parameters": 160}],
        "quantization": [
            {
                "layer": layer_name,
                "weight_exp": -1,
                "scale_bits": 7,
                "weight_error_max": 0.004,
                "spike_rate_float": 0.30,
                "spike_rate_integer": 0.29,
                "saturations": 4321,
            }
        ],
        "inputs": [{"name": "events", "size": 16, "kind": "spike"}],
        "latency_steps": 1,
        "dt_s": 0.25,
        "chip_parameters": 240,
        "host_segments": [{"name": "head", "file": "head.onnx", "flop": 5000}],
        "some_key_of_tomorrow": {"x": 1},
    }
    write_json(root / "export" / "export_report.json", export)
    reference = bound_reference(
        flop_per_run=10**9,
        num_samples_per_run=1,
        batch=1,
        device_name=device,
        workload="the network",
        profile=load_profile("gpu-h200"),
    )
    write_reference(root / "reference" / "reference.json", [reference])
    return folders
