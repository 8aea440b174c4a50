"""Shards to whole files, a chunk at a time: equal bytes however the data set was cut, and whatever was killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from export.nodes import Output
from hardware_profiles.activity import Activity, LayerActivity, add_layers, write_activity

from ..counts import run_activity
from ..errors import LavaRuntimeError
from ..probes import Probe
from .compute import LavaSettings
from .layout import Layout, constant_threshold, theta_unit
from .shards import Shard
from .store import PartialFolder, read_layers

OUTPUTS_FILE, RECORDS_FILE, ACTIVITY_FILE = "outputs.h5", "records.h5", "activity.json"
RECORDS_FORMAT = "axonport-records-1"


def merge(
    partial: PartialFolder, shards: Sequence[Shard], layout: Layout, settings: LavaSettings, folder: Path
) -> Activity:
    """Write `outputs.h5`, `records.h5` (if anything was recorded) and `activity.json` into a folder.

    Raises:
        LavaRuntimeError: a shard is damaged.
    """
    num_samples = shards[-1].stop
    with h5py.File(folder / OUTPUTS_FILE, "w") as outputs, h5py.File(folder / RECORDS_FILE, "w") as records:
        _describe(outputs, settings)
        _describe(records, settings)
        for name in layout.graph.of_type(Output):
            shape, dtype = layout.output(name, num_samples)
            outputs.create_dataset(name, shape, dtype)
        for probe in layout.probes:
            _annotate(layout.create_record(records, probe, num_samples), probe, layout)
        records.attrs["format"] = np.bytes_(RECORDS_FORMAT)
        records.attrs["dt_s"] = layout.graph.dt_s
        parts = [_copy(partial, shard, layout, outputs, records) for shard in shards]
    if not layout.probes:
        (folder / RECORDS_FILE).unlink()
    activity = run_activity(
        layout.graph,
        add_layers(parts),
        number_format=settings.number_format,
        granularity=settings.granularity,
        num_samples=num_samples,
        num_steps=layout.num_steps,
    )
    write_activity(folder / ACTIVITY_FILE, activity)
    return activity


def _describe(file: Any, settings: LavaSettings) -> None:
    file.attrs["world"] = np.bytes_(f"Lava {settings.number_format}, {settings.granularity}")


def _annotate(record: Any, probe: Probe, layout: Layout) -> None:
    """Say beside a membrane what it is compared with, and what a threshold mantissa is worth."""
    if probe.variable == "theta":
        record.attrs["unit_of_v"] = theta_unit(layout.graph, probe.layer)
    threshold = constant_threshold(layout.graph, probe.layer) if probe.variable == "v" else None
    if threshold is not None:
        record.parent.create_dataset("threshold", data=threshold)


def _copy(
    partial: PartialFolder, shard: Shard, layout: Layout, outputs: Any, records: Any
) -> tuple[LayerActivity, ...]:
    """Copy one shard: samples in order, so that the files do not show where they were cut."""
    with partial.read(shard) as file:
        try:
            for name in layout.graph.of_type(Output):
                outputs[name][shard.samples] = file["outputs"][name][()]
            pairs = [
                (file["records"][probe.layer][probe.variable].id, records[probe.layer][probe.variable].id)
                for probe in layout.probes
            ]
            for index in range(shard.num_samples):
                for source, target in pairs:
                    _copy_sample(source, index, target, shard.start + index)
            return read_layers(file)
        except (KeyError, ValueError) as error:
            raise LavaRuntimeError(f"{partial.shard_path(shard)}: is damaged; remove it and run again") from error


def _copy_sample(source: Any, index: int, target: Any, sample: int) -> None:
    """Copy the compressed chunks of one sample."""
    _, num_steps, *rest = target.shape
    (_, steps, *_) = target.get_create_plist().get_chunk()
    for t in range(0, num_steps, steps):
        mask, content = source.read_direct_chunk((index, t, *(0 for _ in rest)))
        target.write_direct_chunk((sample, t, *(0 for _ in rest)), content, mask)
