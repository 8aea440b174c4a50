"""The classes of the embedded benchmark: object × motion × sound, with combinations held out."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np

from hardware_profiles.errors import ConfigError

from .classes import SPLITS, ClassTable

OBJECTS = ("disc", "square", "triangle", "ring", "cross", "bar")
MOTIONS = ("left", "right", "up", "down", "approach", "recede")
SOUNDS = ("rising", "falling", "pulses", "noise")
ATTRIBUTES = (OBJECTS, MOTIONS, SOUNDS)
COMBINATIONS = tuple(itertools.product(*ATTRIBUTES))
MIN_SEEN = max(len(values) for values in ATTRIBUTES)
ORIGIN = "clips rendered by axonport (synthetic), not comparable with published tables"
"""What every number on these clips says beside it."""


class Combination(NamedTuple):
    """The attribute values of one class."""

    object: str
    motion: str
    sound: str


def parse_class(name: str) -> Combination:
    """Return the attribute values that a benchmark class's name, such as `disc-left-rising`, states."""
    return Combination(*name.split("-"))


def choose_classes(*, num_seen: int, num_val_unseen: int, num_test_unseen: int, seed: int) -> ClassTable:
    """Draw disjoint classes for the three splits from the 144 combinations.

    Within each split every next class is the one whose values, then pairs of values, occurred least so far,
    so that the values stay balanced and each of them occurs among the seen classes.

    Args:
        num_seen: classes with training clips, at least 6 (the largest number of values of one attribute).
        num_val_unseen: held-out classes for choosing settings, ≥ 1.
        num_test_unseen: held-out classes for the final score, ≥ 1.
        seed: of the draw.

    Returns:
        Classes sorted by split and name. Attribute vectors are the concatenated one-hot codes of the three
        values, L2-normalised: float32, three entries of 1/√3.

    Raises:
        ConfigError: the numbers cannot be met.
    """
    numbers = (num_seen, num_val_unseen, num_test_unseen)
    if num_seen < MIN_SEEN or min(numbers) < 1 or sum(numbers) > len(COMBINATIONS):
        raise ConfigError(
            f"num_seen, num_val_unseen, num_test_unseen are {numbers}, allowed are at least {MIN_SEEN}, 1, 1 "
            f"and at most {len(COMBINATIONS)} together"
        )
    rng = np.random.default_rng(seed)
    rest = [COMBINATIONS[i] for i in rng.permutation(len(COMBINATIONS))]
    chosen = [
        (split, combination)
        for split, number in zip(SPLITS, numbers, strict=True)
        for combination in sorted(_take_balanced(rest, number), key=COMBINATIONS.index)
    ]
    codes = np.array(
        [
            [value == own for values, own in zip(ATTRIBUTES, combination, strict=True) for value in values]
            for _, combination in chosen
        ],
        np.float32,
    )
    return ClassTable(
        names=tuple("-".join(combination) for _, combination in chosen),
        splits=tuple(split for split, _ in chosen),
        attributes=codes / np.sqrt(np.float32(len(ATTRIBUTES))),
        attribute_names=tuple(itertools.chain(*ATTRIBUTES)),
        origin=ORIGIN,
    )


def _take_balanced(rest: list[tuple[str, ...]], number: int) -> list[tuple[str, ...]]:
    """Move `number` combinations out of `rest`, each the least used so far; earlier in `rest` wins a tie."""
    taken: list[tuple[str, ...]] = []
    for _ in range(number):
        used = Counter(value for combination in taken for value in combination)
        used_pairs = Counter(pair for combination in taken for pair in itertools.combinations(combination, 2))

        def usage(
            combination: tuple[str, ...], used: Counter[str] = used, pairs: Counter[tuple[str, str]] = used_pairs
        ) -> tuple[int, int]:
            return (
                sum(used[value] for value in combination),
                sum(pairs[pair] for pair in itertools.combinations(combination, 2)),
            )

        least = min(rest, key=usage)
        rest.remove(least)
        taken.append(least)
    return taken
