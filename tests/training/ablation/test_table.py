"""Intervals and verdicts against hand-worked cases."""

from __future__ import annotations

from typing import Any

import pytest

from training.ablation.arms import REFERENCE, Arm
from training.ablation.table import Interval, clears, interval, summarise, to_markdown, verdict

ARMS = (Arm(REFERENCE, "the whole", {}), Arm("context only", "motion?", {"use_motion": False}), Arm("same", "?", {}))
HM = {REFERENCE: (50.0, 52.0, 54.0), "context only": (20.0, 23.0, 23.0), "same": (53.0, 50.0, 53.0)}


def rows(hm: dict[str, tuple[float, ...]] = HM) -> list[dict[str, Any]]:
    return [
        {"arm": arm, "seed": seed, "cpu_s": 1.5, "num_parameters": 7,
         "test": {"S": 60.0, "U": 40.0, "HM": value, "ZSL": 70.0},
         "flipped": {"S": 1.0, "U": 2.0, "HM": 3.0, "ZSL": 4.0}}
        for arm, values in hm.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip


def test_an_interval_is_students() -> None:
    # s = 2, n = 3, t(0.975, 2) = 4.3027
    assert interval([50.0, 52.0, 54.0]) == Interval(52.0, pytest.approx(4.3027 * 2 / 3**0.5, rel=1e-4))
    assert interval([5.0, 5.0]) == Interval(5.0, 0.0)


def test_differences_are_taken_seed_by_seed() -> None:
    reference, context, same = summarise(ARMS, rows())
    assert "HM_minus_reference" not in reference["test"]
    assert reference["cpu_s"] == 4.5
    difference = Interval(**context["test"]["HM_minus_reference"])
    assert difference.mean == pytest.approx(-30) and difference.half_width == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert verdict(context, "test") == "worse" and verdict(same, "test") == "no difference shown"
    better = summarise(ARMS, rows({**HM, "same": (60.0, 62.0, 64.5)}))[2]
    assert verdict(better, "test") == "better"


def test_the_benchmark_must_be_cleared_by_more_than_the_interval() -> None:
    entries = summarise(ARMS, rows())
    assert clears(entries, "test", chance_hm=2.0)
    assert not clears(entries, "test", chance_hm=48.0), "52 − 5 is below"
    assert not clears(entries, "flipped", chance_hm=2.0), "no better than the context-only model"
    noisy = summarise(ARMS, rows({**HM, "context only": (20.0, 60.0, 23.0)}))
    assert not clears(noisy, "test", chance_hm=2.0)


def test_the_table_says_all_of_it() -> None:
    text = to_markdown(summarise(ARMS, rows()), ["# Ablation"], chance_hm=2.0)
    assert "| context only | 60.0 ± 0.0 | 40.0 ± 0.0 | 22.0 ± 4.3 | 70.0 ± 0.0 | -30.0 ± 2.5 | worse |" in text
    assert "Flipped backgrounds" in text and "by more than the interval: yes." in text and "interval: NO." in text
