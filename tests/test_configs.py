"""Sections of a configuration file."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from export.config import ExportConfig
from hardware_profiles.config import SECTIONS, read_section, read_toml
from hardware_profiles.errors import ConfigError
from hardware_profiles.report_config import ReportConfig
from lava_runtime.config import SimulationConfig
from training.config import ModelConfig, TrainingConfig
from training.data.prepare import PreparationConfig
from training.data.render import BenchmarkConfig

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
DEMO, ABLATION = CONFIGS / "demo.toml", CONFIGS / "ablation.toml"


@dataclass(frozen=True, kw_only=True)
class Model:
    width: int


def write(tmp_path, text):
    (tmp_path / "c.toml").write_text(text)
    return tmp_path / "c.toml"


def test_a_section_is_read_beside_others(tmp_path):
    path = write(tmp_path, "[benchmark]\nnonsense = 1\n[model]\nwidth = 3\n")
    assert read_section(path, "model", Model) == Model(width=3)


def test_the_demo_states_every_setting_at_its_default():
    assert read_section(DEMO, "benchmark", BenchmarkConfig) == BenchmarkConfig()
    assert read_section(DEMO, "preparation", PreparationConfig) == PreparationConfig()
    assert read_section(DEMO, "export", ExportConfig) == ExportConfig()
    assert read_section(DEMO, "simulation", SimulationConfig) == SimulationConfig()
    assert read_section(DEMO, "report", ReportConfig) == ReportConfig()


def test_the_demo_holds_every_section():
    read_section(DEMO, "model", ModelConfig)
    read_section(DEMO, "training", TrainingConfig)
    assert set(read_toml(DEMO)) == set(SECTIONS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[model]\nwidth = 3\n[modle]\n",
            r"unknown table \[modle\]; allowed are benchmark, preparation, model, training",
        ),
        ("[training]\n", r"table \[model\] is missing"),
        ("[model]\nwidth = 3\ndepth = 1\n", "unknown key 'depth'; allowed are width"),
        ("model = 3\n", r"\[model\]: is int, allowed is a table"),
    ],
)
def test_bad_file(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_section(write(tmp_path, text), "model", Model)


def test_the_ablations_data_differ_from_the_demos_in_the_test_clips_only():
    ablation = read_section(ABLATION, "benchmark", BenchmarkConfig)
    assert read_section(ABLATION, "preparation", PreparationConfig) == PreparationConfig()
    assert ablation == BenchmarkConfig(test_clips=8, flipped_clips=8, background_bias_test=0.8)
