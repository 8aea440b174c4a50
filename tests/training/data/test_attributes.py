"""Which combinations are seen and which are held out."""

from collections import Counter

import numpy as np
import pytest

from hardware_profiles.errors import ConfigError
from training.data.attributes import ATTRIBUTES, choose_classes, parse_class


@pytest.mark.parametrize("seed", range(20))
def test_splits_are_disjoint_balanced_and_cover_every_value(seed):
    table = choose_classes(num_seen=30, num_val_unseen=10, num_test_unseen=12, seed=seed)
    assert len(set(table.names)) == 52
    assert Counter(table.splits) == {"seen": 30, "val_unseen": 10, "test_unseen": 12}
    seen = [parse_class(name) for name, split in zip(table.names, table.splits, strict=True) if split == "seen"]
    for position, values in enumerate(ATTRIBUTES):
        counts = Counter(combination[position] for combination in seen)
        assert set(counts) == set(values)
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_six_seen_classes_are_enough_to_show_every_value(seed):
    table = choose_classes(num_seen=6, num_val_unseen=1, num_test_unseen=137, seed=seed)
    seen = {value for name in table.names[:6] for value in parse_class(name)}
    assert seen == {value for values in ATTRIBUTES for value in values}


def test_vectors_are_normalised_one_hots_of_the_name():
    table = choose_classes(num_seen=16, num_val_unseen=4, num_test_unseen=4, seed=3)
    assert table.attributes.dtype == np.float32 and table.attributes.shape == (24, 16)
    np.testing.assert_allclose(np.linalg.norm(table.attributes, axis=1), 1, rtol=1e-6)
    for name, row in zip(table.names, table.attributes, strict=True):
        assert {table.attribute_names[i] for i in np.nonzero(row)[0]} == set(name.split("-"))
    assert len(np.unique(table.attributes, axis=0)) == 24


def test_the_seed_decides():
    def names(seed):
        return choose_classes(num_seen=16, num_val_unseen=4, num_test_unseen=4, seed=seed).names

    assert names(1) == names(1) and names(1) != names(2)


@pytest.mark.parametrize("numbers", [(5, 4, 4), (16, 0, 4), (130, 10, 5)])
def test_numbers_that_cannot_be_met(numbers):
    with pytest.raises(ConfigError, match="allowed are at least 6, 1, 1 and at most 144 together"):
        choose_classes(**dict(zip(("num_seen", "num_val_unseen", "num_test_unseen"), numbers, strict=True)), seed=0)
