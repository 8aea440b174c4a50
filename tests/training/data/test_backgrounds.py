"""Backgrounds: what they look like, and which clip shows whose."""

from collections import Counter

import numpy as np
import pytest

from training.data.attributes import choose_classes, parse_class
from training.data.backgrounds import LUMA, draw_background, draw_background_image, misleading_types, tint

TABLE = choose_classes(num_seen=30, num_val_unseen=10, num_test_unseen=12, seed=0)
NUM_CLASSES = len(TABLE.names)
UNSEEN = TABLE.splits.index("test_unseen")


def image_of(background, seed=0, size_px=64):
    return draw_background_image(background, size_px, np.random.default_rng(seed))


@pytest.mark.parametrize("hue", np.linspace(0, 1, 13))
@pytest.mark.parametrize("luma", [0.3, 0.65, 0.95])
def test_tint_has_the_luma_asked_for(hue, luma):
    colour = np.array(tint(hue, luma=luma, chroma=0.35))
    assert colour @ LUMA == pytest.approx(luma, abs=1e-9)
    assert colour.min() >= -1e-9 and colour.max() <= 1 + 1e-9
    assert np.ptp(colour) > 0.02


def test_types_look_different_and_two_clips_of_a_type_alike():
    def cells(background, seed):
        return image_of(background, seed).reshape(8, 8, 8, 8, 3).mean(axis=(1, 3)).ravel()

    own = np.array([cells(b, 1) for b in range(NUM_CLASSES)])
    again = np.array([cells(b, 2) for b in range(NUM_CLASSES)])
    nearest = ((again[:, None] - own[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert np.mean(nearest == np.arange(NUM_CLASSES)) > 0.95
    assert not np.array_equal(own, again)


def test_no_type_stands_out_by_its_luma():
    luma = np.array([(image_of(b) @ LUMA).mean() for b in range(NUM_CLASSES)])
    assert np.abs(luma - 0.3).max() < 0.03


def test_nothing_is_cut_off_by_the_range_of_colours():
    for background in range(NUM_CLASSES):
        image = image_of(background)
        assert image.dtype == np.float32 and image.shape == (64, 64, 3)
        assert image.min() > 4 / 255 and image.max() < 1 - 4 / 255
        assert np.ptp(image.reshape(-1, 3), axis=0).min() == pytest.approx(0.16, abs=0.01)


@pytest.mark.parametrize(("bias", "own"), [(1.0, 1), (0.8, 0.8 + 0.2 / 52), (0.0, 1 / 52), (-1.0, 0)])
@pytest.mark.parametrize("label", [3, UNSEEN])
def test_background_bias(bias, own, label):
    rng = np.random.default_rng(0)
    drawn = Counter(draw_background(label, TABLE, bias, rng) for _ in range(4000))
    assert drawn[label] / 4000 == pytest.approx(own, abs=0.03)
    misled = sum(drawn[k] for k in misleading_types(label, TABLE).tolist()) / 4000
    assert misled == 1 if bias < 0 else misled < 0.4
    assert len(drawn) == NUM_CLASSES if 0 <= bias < 1 else bias == 1 or len(drawn) > 3


@pytest.mark.parametrize("label", range(NUM_CLASSES))
def test_a_misleading_background_is_that_of_a_seen_class_with_nothing_in_common(label):
    types = misleading_types(label, TABLE)
    assert len(types) > 3 and label not in types
    for other in types:
        assert TABLE.splits[other] == "seen"
        assert not set(parse_class(TABLE.names[other])) & set(parse_class(TABLE.names[label]))


def test_where_all_seen_classes_share_something_the_least_is_taken():
    table = choose_classes(num_seen=6, num_val_unseen=1, num_test_unseen=137, seed=0)
    assert all(len(misleading_types(label, table)) > 0 for label in range(144))
