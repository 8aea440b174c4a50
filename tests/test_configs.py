"""Sections of a configuration file."""

from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from export.config import ExportConfig
from hardware_profiles.config import SECTIONS, read_section, read_toml
from hardware_profiles.errors import ConfigError
from hardware_profiles.report_config import ReportConfig
from lava_runtime.config import SimulationConfig
from training.ablation.arms import choose_arms
from training.ablation.config import AblationConfig
from training.config import ProtocolConfig, TrainingConfig
from training.data.avgzsl.config import AvgzslConfig
from training.data.prepare import PreparationConfig
from training.data.render import BenchmarkConfig
from training.model.config import ModelConfig

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


def test_the_demo_holds_every_section_that_it_needs():
    read_section(DEMO, "model", ModelConfig)
    read_section(DEMO, "training", TrainingConfig)
    read_section(DEMO, "protocol", ProtocolConfig)
    assert set(read_toml(DEMO)) == set(SECTIONS) - {"data", "ablation"}


def test_the_ablation_holds_what_it_needs():
    config = CONFIGS / "ablation.toml"
    assert read_section(config, "preparation", PreparationConfig) == PreparationConfig()
    assert read_section(config, "benchmark", BenchmarkConfig).flipped_clips > 0
    assert choose_arms(
        read_section(config, "model", ModelConfig), read_section(config, "ablation", AblationConfig).arms
    )
    read_section(config, "training", TrainingConfig)
    read_section(config, "protocol", ProtocolConfig)


@pytest.mark.parametrize("name", ("UCF", "ActivityNet", "VGGSound"))
@pytest.mark.parametrize("kind", ("main", "cls"))
def test_feature_files_of_the_field(name, kind):
    path = CONFIGS / f"{name.lower()}_{kind}.toml"
    root = "avgzsl_benchmark_datasets"
    expected = AvgzslConfig(root=root, name=name, features=f"{kind}_features", split=f"{kind}_split")
    assert read_section(path, "data", AvgzslConfig) == expected
    assert set(read_toml(path)["data"]) == {field.name for field in fields(AvgzslConfig)}
    assert read_section(path, "model", ModelConfig).attention == "none", "one token a step"
    read_section(path, "training", TrainingConfig)
    read_section(path, "protocol", ProtocolConfig)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[model]\nwidth = 3\n[modle]\n",
            r"unknown table \[modle\]; allowed are benchmark, preparation, data, model, training",
        ),
        ("[training]\n", r"table \[model\] is missing"),
        ("[model]\nwidth = 3\ndepth = 1\n", "unknown key 'depth'; allowed are width"),
        ("model = 3\n", r"\[model\]: is int, allowed is a table"),
    ],
)
def test_bad_file(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_section(write(tmp_path, text), "model", Model)


def test_the_ablations_data_differ_from_the_demos_in_clips_and_test_backgrounds_only():
    ablation = read_section(ABLATION, "benchmark", BenchmarkConfig)
    assert read_section(ABLATION, "preparation", PreparationConfig) == PreparationConfig()
    assert ablation == BenchmarkConfig(train_clips=24, test_clips=8, flipped_clips=8, background_bias_test=0.8)
