"""The export folder: what this stage hands to the runtime and to the report."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from hardware_profiles.arithmetic import IntegerFormat
from hardware_profiles.artifact import atomic_file, read_json, write_json
from hardware_profiles.config import from_mapping
from hardware_profiles.errors import ConfigError

from .deployment import arrays_to_bring
from .errors import NirFileError
from .graph import Graph
from .graph_file import load_graph
from .host_segment import HostFile
from .nir_file import read_nir
from .passes.recognise_integrators import recognise_integrators
from .trace import Array

FORMAT = "axonport-deployment-1"
NIR_FILE = "model.nir"
INTEGER_FILE = "integer_model.h5"
DEPLOYMENT_FILE = "deployment.json"
REPORT_FILE = "export_report.json"
ONNX_FILE = "network.onnx"
NETX_FILE = "network.net"


@dataclass(frozen=True, kw_only=True)
class _DeploymentFile:
    format: str
    factory: str
    hosts: tuple[HostFile, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Exported:
    """An export folder, loaded.

    Attributes:
        folder: where it lies.
        float_graph: from `model.nir`.
        integer_graph: from `integer_model.h5`.
        hosts: host segments, in order.
        factory: `module:function` that the network came from.
    """

    folder: Path
    float_graph: Graph
    integer_graph: Graph
    hosts: tuple[HostFile, ...]
    factory: str

    def host_inputs(self) -> set[str]:
        """Return the names of arrays that a run must bring: neither produced by a segment nor by the chip."""
        return arrays_to_bring(self.hosts, self.float_graph.inputs())


def save_deployment(folder: Path, factory: str, hosts: tuple[HostFile, ...]) -> None:
    """Write `deployment.json`."""
    write_json(
        folder / DEPLOYMENT_FILE,
        {"format": FORMAT, "factory": factory, "hosts": [dataclasses.asdict(host) for host in hosts]},
    )


def load_float_graph(folder: Path, fmt: IntegerFormat) -> Graph:
    """Load `model.nir` of an export folder; neurons that standard nodes spell out are put together again."""
    return recognise_integrators(read_nir(folder / NIR_FILE), fmt)


def load_export(folder: Path) -> Exported:
    """Load an export folder.

    Raises:
        NirFileError: the folder or a file in it is missing, foreign or damaged.
    """
    if not folder.is_dir():
        raise NirFileError(f"export {folder}: no such folder; run `python -m export` first")
    values: Any = read_json(folder / DEPLOYMENT_FILE)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise NirFileError(f"export {folder}: {DEPLOYMENT_FILE} is not of format '{FORMAT}'; export again")
    try:
        described = from_mapping(_DeploymentFile, values, DEPLOYMENT_FILE)
    except ConfigError as error:
        raise NirFileError(f"export {folder}: {error}; export again") from error
    for host in described.hosts:
        if Path(host.file).name != host.file or host.when not in ("before", "after"):
            raise NirFileError(f"export {folder}: host segment {host.name} is damaged; export again")
    integer_graph = load_graph(folder / INTEGER_FILE)
    assert integer_graph.fmt is not None
    return Exported(
        folder=folder,
        float_graph=load_float_graph(folder, integer_graph.fmt),
        integer_graph=integer_graph,
        hosts=described.hosts,
        factory=described.factory,
    )


def save_outputs(path: Path, world: str, arrays: dict[str, Array]) -> None:
    """Write the outputs of one world (`[N, ...]` arrays) as HDF5, for scoring."""
    with atomic_file(path) as work, h5py.File(work, "w") as file:
        file.attrs["world"] = world
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
