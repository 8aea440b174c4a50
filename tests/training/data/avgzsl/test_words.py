"""Word vectors by name, and as published code indexes them."""

import numpy as np
import pytest

from training.data.avgzsl.layout import Layout
from training.data.avgzsl.splits import read_splits
from training.data.avgzsl.words import keys_by_name, legacy_keys, read_class_vectors, read_vectors
from training.errors import TrainingError

from .files import Made, real, write_layout


def open_layout(tmp_path, made):
    words = write_layout(tmp_path, made, with_features=False)
    layout = Layout(tmp_path, made.name, made.features, made.split)
    return layout, read_splits(layout), words


def test_each_class_gets_the_vector_of_its_own_name(tmp_path):
    made = Made()
    layout, splits, words = open_layout(tmp_path, made)
    vectors = read_class_vectors(layout, splits, (), legacy_order=False)
    assert splits.used_names == ("Apple", "Bee, wasp", "Cut", "Dig")
    np.testing.assert_array_equal(vectors, [words[made.manual[name]] for name in splits.used_names])
    assert vectors.dtype == np.float32


def test_legacy_order_gives_a_neighbours_vector(tmp_path):
    layout, splits, words = open_layout(tmp_path, Made())
    vectors = read_class_vectors(layout, splits, (), legacy_order=True)
    # sorted dict: Cut it, Dig, Eat, Pear, bee
    np.testing.assert_array_equal(vectors, [words["Cut it"], words["Dig"], words["Eat"], words["Pear"]])


@pytest.mark.parametrize(
    ("name", "split", "num_used", "num_wrong", "num_unseen", "num_unseen_wrong"),
    [
        ("UCF", "main_split", 51, 36, 9, 5),
        ("UCF", "cls_split", 48, 35, 6, 4),
        ("ActivityNet", "main_split", 200, 8, 50, 1),
        ("ActivityNet", "cls_split", 198, 8, 48, 1),
    ],
)
def test_how_many_real_classes_published_code_gives_another_vector(
    tmp_path, name, split, num_used, num_wrong, num_unseen, num_unseen_wrong
):
    layout, splits, _ = open_layout(tmp_path, real(name, split))
    differ = (
        read_class_vectors(layout, splits, (), legacy_order=True)
        != read_class_vectors(layout, splits, (), legacy_order=False)
    ).any(axis=1)
    unseen = [splits.role(name) == "test_unseen" for name in splits.used_names]
    assert (len(differ), differ.sum()) == (num_used, num_wrong)
    assert (sum(unseen), differ[unseen].sum()) == (num_unseen, num_unseen_wrong)


def test_several_files_are_put_after_each_other(tmp_path):
    made = Made()
    layout, splits, words = open_layout(tmp_path, made)
    text = layout.feature_folder / "text"
    other = {name: np.full(3, number, np.float64) for number, name in enumerate(words)}
    np.save(text / "wavcaps_word_embeddings_small_normed.npy", other, allow_pickle=True)
    names = ("word_embeddings_small_normed.npy", "wavcaps_word_embeddings_small_normed.npy")
    vectors = read_class_vectors(layout, splits, names, legacy_order=False)
    assert vectors.shape == (4, 7) and vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[:, 4:], np.repeat([[0], [1], [2], [3]], 3, axis=1))


def test_a_third_column_of_names_is_taken_where_the_dict_uses_it(tmp_path):
    rows = [{"original": "TaiChi", "manual": "Taichi", "clip_class_name": "Tai Chi"}]
    assert keys_by_name(tmp_path, rows, ("TaiChi",), frozenset({"Tai Chi"})) == {"TaiChi": "Tai Chi"}
    assert keys_by_name(tmp_path, rows, ("TaiChi",), frozenset({"Taichi"})) == {"TaiChi": "Taichi"}
    with pytest.raises(TrainingError, match=r"no vector for class 'TaiChi' \('Taichi' in the csv"):
        keys_by_name(tmp_path, rows, ("TaiChi",), frozenset({"tai chi"}))


def test_two_files_of_names_are_both_asked(tmp_path):
    layout, splits, words = open_layout(tmp_path, Made())
    before = read_class_vectors(layout, splits, (), legacy_order=False)
    folder = layout.set_folder / "class-split"
    rows = "".join(f'"{name}",{manual},{manual.upper()}\n' for name, manual in Made().manual.items())
    (folder / "small_clip_class_names.csv").write_text(f"original,manual,clip_class_name\n{rows}")
    np.testing.assert_array_equal(read_class_vectors(layout, splits, (), legacy_order=False), before)
    upper = {name.upper(): vector for name, vector in words.items()}
    np.save(layout.word_vector_file(), upper, allow_pickle=True)
    np.testing.assert_array_equal(read_class_vectors(layout, splits, (), legacy_order=False), before)


def test_missing_or_several_text_files_are_named(tmp_path):
    layout, splits, words = open_layout(tmp_path, Made())
    np.save(layout.feature_folder / "text/word_embeddings_other_normed.npy", words, allow_pickle=True)
    with pytest.raises(TrainingError, match="2 files word_embeddings_.* name the file in text_files"):
        read_class_vectors(layout, splits, (), legacy_order=False)
    (layout.set_folder / "class-split/small_w2v_class_names.csv").unlink()
    with pytest.raises(TrainingError, match="no .*_class_names.csv; unpack"):
        read_class_vectors(layout, splits, ("word_embeddings_small_normed.npy",), legacy_order=False)


def test_legacy_order_needs_a_row_for_every_class():
    with pytest.raises(TrainingError, match="1 vectors for 2 classes"):
        legacy_keys(("a", "b"), frozenset({"a"}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "NoneType, allowed is a dict"),
        ({"a": [1.0]}, "allowed is a dict"),
        ({"a": np.arange(3)}, "vector of floats"),
        ({"a": np.ones(3), "b": np.ones(4)}, "one length for all classes"),
        ({"a": np.ones((2, 3))}, "one length for all classes"),
        ({"a": np.array([1, np.nan])}, "NaN"),
    ],
)
def test_other_contents_are_refused(tmp_path, value, message):
    np.save(tmp_path / "a.npy", value, allow_pickle=True)
    with pytest.raises(TrainingError, match=message) as caught:
        read_vectors(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)
