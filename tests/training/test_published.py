"""Published numbers: what the table holds, and what is printed beside a result."""

import json

import pytest

from hardware_profiles.errors import ConfigError
from training.data.avgzsl.counts import PUBLISHED as COUNTS
from training.protocol import Scores
from training.published import beside, format_beside, published_table

OURS = Scores(S=30.0, U=20.0, HM=24.0, ZSL=25.5)


@pytest.mark.parametrize("name", COUNTS)
def test_rows_are_sorted_by_hm_and_in_range(name):
    rows = published_table(name)
    assert [row.HM for row in rows] == sorted((row.HM for row in rows), reverse=True) and len(rows) >= 20
    for row in rows:
        for score in (row.S, row.U, row.HM, row.ZSL):
            assert score is None or 0 < score < 100
    assert len({(row.method, row.features, row.source) for row in rows}) == len(rows)


def test_two_published_hms_contradict_their_s_and_u():
    wrong = {(row.method, row.data_set): row.remark for name in COUNTS for row in published_table(name)}
    wrong = {key: remark for key, remark in wrong.items() if "inconsistent" in remark}
    assert set(wrong) == {("KDA", "UCF"), ("KDA", "ActivityNet")}
    assert "S and U give HM 54.87" in wrong["KDA", "UCF"]  # published 54.84
    assert "language model; S and U give HM 16.10" in wrong["KDA", "ActivityNet"]  # published 17.95


def test_rows_of_a_kind_of_features_and_of_unknown_kind():
    chosen = {row.features for row in published_table("UCF", "cls_features")}
    assert chosen == {"cls_features", "unknown"}
    assert {row.features for row in published_table("UCF")} > chosen


def test_mdst_pp_is_there_with_its_caveat():
    (row,) = [row for row in published_table("UCF") if row.method == "MDST++"]
    assert (row.S, row.U, row.HM, row.ZSL) == (65.32, 44.79, 53.14, 55.22)
    assert row.features == "unknown" and row.source == "third_party" and "feature type unknown" in row.caveat


def test_the_text_names_ours_sources_and_caveats():
    text = format_beside(OURS, "ActivityNet", "main_features")
    lines = text.splitlines()
    assert lines[1].split()[:7] == ["this", "run", "main_features", "30.00", "20.00", "24.00", "25.50"]
    assert "inconsistent" in next(line for line in lines if line.startswith("KDA"))
    avca = next(line for line in lines if line.startswith("AVCA")).split()
    assert avca[1:] == ["main_features", "-", "-", "12.13", "9.13", "readme"]
    assert "unpublished manuscript" in text and "legacy_order" in text and "never comparable" in text
    ends = {line.index("24.00") + 5 for line in lines if "24.00" in line}
    assert ends == {line.index("12.13") + 5 for line in lines if "12.13" in line}


def test_the_same_as_json():
    values = json.loads(json.dumps(beside(OURS, "UCF")))
    assert values["ours"] == {"S": 30.0, "U": 20.0, "HM": 24.0, "ZSL": 25.5}
    assert len(values["published"]) == len(published_table("UCF"))
    assert {row["source"] for row in values["published"]} == set(values["sources"])
    assert values["caveats"]


def test_a_data_set_without_rows():
    with pytest.raises(ConfigError, match="'Demo': there are none, allowed are ActivityNet, UCF, VGGSound"):
        published_table("Demo")
