from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hardware_profiles.artifact import write_json
from hardware_profiles.energy_text import energy_text
from hardware_profiles.errors import ArtifactError
from hardware_profiles.profile import load_profile
from hardware_profiles.report.contents import Report, gather, input_files
from hardware_profiles.report.glossary import GLOSSARY
from hardware_profiles.report.headline import cards
from hardware_profiles.report.render import render_html, render_markdown, write_report

from ..toy import toy_profile
from .stages import parity, rung, write_stages

HOSTILE = '<script>alert(1)</script>"|&x'


class Page(HTMLParser):
    """Collects what a browser would: tags, identifiers, what it would load, and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href", "data", "action", "poster", "srcset"}:
                self.loads.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def both_chips(folders: dict[str, Path | None]) -> Report:
    return gather(folders, [load_profile("loihi1"), load_profile("loihi2")])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return both_chips(write_stages(tmp_path_factory.mktemp("stages")))


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(render_html(report))


def test_the_page_stands_alone(report: Report, page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert all(load.startswith("#") for load in page.loads)
    html = render_html(report)
    assert not re.search(r"url\(\s*['\"]?(?!#)", html)
    assert "@import" not in html
    assert set(re.findall(r"https?://[^\s\"'<>]+", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }, "namespaces are names, nothing else may look like an address"


def test_identifiers_are_unique_and_anchors_lead_somewhere(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert {load[1:] for load in page.loads} <= set(page.ids)


def test_every_section_is_there(page: Page) -> None:
    for section in ("parity", "accuracy", "activity", "thresholds", "energy", "reference", "cores", "carried"):
        assert section in page.ids
    assert page.tags.count("svg") == 5
    assert "Absent" not in page.text


def test_the_page_tells_what_matters(page: Page) -> None:
    for fact in (
        "not deployable on loihi1: dynamic_threshold, graded_spikes; coefficients borrowed for comparison",
        "0 differences",
        "in 400 neuron-steps; 2 of 2 comparisons hold",
        "68.6 → 68.2\u00a0%",
        "float (snnTorch) → Lava fixed_pt; context only, no spikes 15.0\u00a0%",
        "4\u202f321",
        "events (16 spike trains)",
        "one time step stands for 250 ms",
        "Toy GPU",
        "at least 707 µJ",
        "Lower bound: packing and index overhead are not modelled yet",
        "static power",
        "x86 cores on the chip",
        "input and output",
        "c0ffee-export",
        "Davies et al., IEEE Micro 38(1) 2018",
        "rate 0.30 → 0.29",
        "head (5.00 kFLOP per inference)",
    ):
        assert fact in page.text, fact


def test_layers_are_shown_stream_by_stream(tmp_path: Path) -> None:
    folders = write_stages(tmp_path)
    entry = rung("integers", "quantised")
    entry["layers"] = [{**entry["layers"][0], "name": name} for name in ("out", "hidden")]
    write_json(tmp_path / "export" / "parity.json", parity(entry))
    html = render_html(both_chips(folders))
    table = html[html.index("Parity, layer by layer: integers") :]
    assert table.index('<td class="name">hidden') < table.index('<td class="name">out')


def test_markdown_tells_the_same(report: Report) -> None:
    text = render_markdown(report)
    assert "not deployable on loihi1: dynamic\\_threshold, graded\\_spikes" in text
    assert "| snnTorch = IR | exact | 200 | 0 | 60 | 3 of 20 | holds |" in text
    assert "c0ffee-simulation" in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.rstrip().endswith("|")


def test_json_holds_every_fact(report: Report, tmp_path: Path) -> None:
    html, markdown, data = write_report(tmp_path, report)
    values = json.loads(data.read_text())
    assert (values["schema"], values["schema_version"]) == ("axonport-report", 1)
    assert values == json.loads(json.dumps(report.as_json()))
    assert values["energies"][0]["missing"] == ["dynamic_threshold", "graded_spikes"]
    assert values["energies"][1]["total_j"]["mid"] == report.energies[1].total_j.mid
    assert values["rungs"][2]["name"] == "specification = Lava"
    assert html.stat().st_size < 2_000_000
    assert markdown.read_text() == render_markdown(report)


def test_equal_data_gives_equal_bytes(report: Report) -> None:
    assert render_html(report) == render_html(report)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    folders = write_stages(tmp_path, layer_name=HOSTILE, device=HOSTILE)
    write_json(tmp_path / "training" / "manifest.json", {"commit": HOSTILE, "config": {"name": HOSTILE}})
    write_json(tmp_path / "export" / "parity.json", parity(rung(HOSTILE, "exact", note=HOSTILE, name=HOSTILE)))
    report = both_chips(folders)
    html = render_html(report)
    hostile = Page(html)
    assert "script" not in hostile.tags
    assert "<script" not in html
    assert HOSTILE in hostile.text
    assert "<script" not in render_markdown(report)


def test_text_that_no_font_draws_does_no_harm(tmp_path: Path) -> None:
    folders = write_stages(tmp_path, layer_name="層\u202e\x07一$\\frac$", device="$x_{$")
    assert "層" in Page(render_html(both_chips(folders))).text


def test_a_broken_claim_cannot_be_missed(tmp_path: Path) -> None:
    folders = write_stages(tmp_path)
    write_json(tmp_path / "simulation" / "parity.json", parity(rung("specification = Lava", "exact", 7)))
    html = render_html(both_chips(folders))
    assert 'class="card bad"><div class="title">Spikes and membranes, where equality is claimed' in html
    assert "1 of 2 comparisons hold" in html
    assert '<span class="badge broken"' in html
    assert '<td class="number alarm">7</td>' in html


def test_silence_is_no_proof(tmp_path: Path) -> None:
    folders = write_stages(tmp_path)
    write_json(tmp_path / "simulation" / "parity.json", parity(rung("specification = Lava", "exact", spikes=0)))
    report = both_chips(folders)
    card = cards(report)[0]
    assert (card.figure, card.badge, card.tone) == ("0 differences", "vacuous", "bad")
    assert "1 of 2 comparisons hold" in card.detail


def test_a_network_without_anything_else_says_what_is_absent(tmp_path: Path) -> None:
    folders = write_stages(tmp_path)
    report = both_chips({**dict.fromkeys(folders), "simulation": folders["simulation"]})
    text = Page(render_html(report)).text
    for missing in (
        "no --scores folder was given, so accuracy.json was not read",
        "no --export folder was given, so export_report.json was not read",
        "no --reference folder was given, so reference.json was not read",
        "parity of snnTorch and IR: no --export folder",
    ):
        assert missing in text, missing
        assert missing in render_markdown(report).replace("\\_", "_")
    assert "specification = Lava" in text


def test_an_empty_simulation_folder_still_makes_a_page(tmp_path: Path) -> None:
    (tmp_path / "simulation").mkdir()
    report = both_chips({"simulation": tmp_path / "simulation"})
    text = Page(render_html(report)).text
    assert "the simulation folder holds no activity.json" in text
    assert "the simulation folder holds no manifest.json" in text
    assert report.energies == ()
    assert render_markdown(report).startswith("# Axonport report")


def test_a_chip_without_static_power_has_no_total(tmp_path: Path) -> None:
    folders = write_stages(tmp_path)
    profile = toy_profile(tmp_path, static_power=None, host_power=None)
    report = gather(folders, [profile])
    said = "part of the total, without static and host energy"
    assert f"Energy per inference on toy, {said}" in Page(render_html(report)).text
    assert said in render_markdown(report)
    assert said in energy_text(report.energies[0])


def test_a_folder_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"--scores .*nowhere: no such folder"):
        both_chips({"simulation": tmp_path, "scores": tmp_path / "nowhere"})


def test_every_file_that_is_read_makes_the_report_stale(tmp_path: Path) -> None:
    files = input_files(write_stages(tmp_path))
    assert {path.name for path in files.values()} == {
        "activity.json",
        "parity.json",
        "thresholds.json",
        "accuracy.json",
        "metrics.json",
        "export_report.json",
        "reference.json",
        "manifest.json",
    }
    assert len(files) == 13


def test_badges_are_explained(report: Report) -> None:
    assert {card.badge for card in cards(report)} <= set(GLOSSARY)
    assert {"measured", "modelled", "bound", "assumed", "unpriced", "exact", "bounded", "quantised"} <= set(GLOSSARY)
