"""Class lists and numbers of clips: the real ones, and what is said where they differ."""

from dataclasses import replace

import pytest

from training.data.avgzsl.counts import PUBLISHED, count_on_disk, differences
from training.data.avgzsl.layout import STAGE, UNION, Layout
from training.data.avgzsl.splits import read_splits
from training.errors import TrainingError

from .files import Made, real, write_layout

TOTAL = {"UCF": 6816, "ActivityNet": 20348, "VGGSound": 93752}


def opened(root, made, **options):
    write_layout(root, made, **options)
    layout = Layout(root, made.name, made.features, made.split)
    return layout, read_splits(layout)


def findings(layout, splits):
    return differences(layout.name, splits, count_on_disk(layout, with_pickles=True))


@pytest.mark.parametrize("name", ("UCF", "ActivityNet"))
def test_the_real_splits_have_the_published_numbers(tmp_path, name):
    _, splits = opened(tmp_path, real(name), with_features=False)
    for partition, expected in PUBLISHED[name].items():
        listed = splits.listed[STAGE[partition]]
        assert (sum(listed.values()), len(listed)) == expected
        assert set(listed) == set(splits.stages[STAGE[partition]])
    union = splits.listed[UNION]
    assert sum(union.values()) == {"UCF": 4994, "ActivityNet": 14534}[name]
    roles = [splits.role(name) for name in splits.used_names]
    assert {role: roles.count(role) for role in set(roles)} == {
        "UCF": {"seen": 30, "val_unseen": 12, "test_unseen": 9},
        "ActivityNet": {"seen": 99, "val_unseen": 51, "test_unseen": 50},
    }[name]


def test_the_published_table_adds_up():
    for name, partitions in PUBLISHED.items():
        assert sum(clips for clips, _ in partitions.values()) == TOTAL[name]
        seen, held_out = partitions["train"][1], partitions["val_unseen"][1]
        assert partitions["val_seen"][1] == seen and partitions["test_seen"][1] == seen + held_out
    assert sum(PUBLISHED["VGGSound"][partition][0] for partition in ("train", "val_seen", "val_unseen")) == 81270


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "UCF",
            "csv lists 9 classes, the txt 6; left out as in the field's evaluation: "
            "BandMarching, BrushingTeeth, Typing",
        ),
        (
            "ActivityNet",
            "csv lists 50 classes, the txt 48; left out as in the field's evaluation: Brushingteeth, Knitting",
        ),
    ],
)
def test_the_cls_txt_decides_and_the_difference_is_told(tmp_path, name, words):
    _, splits = opened(tmp_path, real(name, "cls_split"), with_features=False)
    assert len(splits.stages["stage_2_test_unseen"]) == {"UCF": 6, "ActivityNet": 48}[name]
    (line,) = differences(name, splits, {})
    assert line == f"stage_2_test_unseen: the {words}"


def test_ucfs_two_spellings_are_one_class(tmp_path):
    made = real("UCF")
    assert "HandStandPushups" in made.stages["stage_1_train"] and "HandstandPushups" in made.manual
    _, splits = opened(tmp_path, made, with_features=False)
    assert "HandstandPushups" in splits.used_names and "HandStandPushups" not in splits.used_names


def test_real_numbers_on_disk_have_nothing_to_tell(tmp_path):
    layout, splits = opened(tmp_path, real("UCF").with_union())
    on_disk = count_on_disk(layout, with_pickles=False)
    assert {stage: sum(clips.values()) for stage, clips in on_disk.items()} == {
        "stage_1_train": 3174,
        "stage_1_val_seen": 353,
        "stage_1_val_unseen": 1467,
        "stage_2_train": 4994,
        "stage_2_test_seen": 555,
        "stage_2_test_unseen": 1267,
    }
    assert findings(layout, splits) == ()


@pytest.mark.parametrize("averaged", (True, False))
def test_missing_clips_are_told(tmp_path, averaged):
    made = Made(averaged=averaged).with_union()
    layout, splits = opened(tmp_path, made)
    assert findings(layout, splits) == ()
    fewer = replace(made, clips={**made.clips, "stage_1_train": {"Apple": 4, "Cut": 1}})
    write_layout(tmp_path / "fewer", fewer)
    on_disk = count_on_disk(Layout(tmp_path / "fewer", "Small", "main_features", "main_split"), with_pickles=True)
    assert differences("Small", splits, on_disk) == (
        "stage_1_train: clips on disk differ from the csv: Cut 1 of 3",
        "stage_2_train: clips differ from the three stages that it unites: cut",
    )


def test_lists_unlike_the_published_ones_are_told(tmp_path):
    made = real("UCF")
    clips = {**made.clips, "stage_1_val_seen": {**made.clips["stage_1_val_seen"], "Archery": 1}}
    _, splits = opened(tmp_path, replace(made, clips=clips), with_features=False)
    (line,) = differences("UCF", splits, {})
    assert line.startswith("stage_1_val_seen: the csv lists 3") and line.endswith("30 classes, published are 353 of 30")


def test_audio_without_video_is_an_error(tmp_path):
    layout, _ = opened(tmp_path, Made())
    (layout.feature_folder / "video/stage_1_train/Cut.h5").unlink()
    with pytest.raises(TrainingError, match="class 'cut': 3 audio clips, 0 video clips"):
        count_on_disk(layout, with_pickles=True)


def with_stage(stage, names):
    return replace(Made(), stages={**Made().stages, stage: names})


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (with_stage("stage_1_train", ["Cut", "Foreign"]), "'Foreign' is not in all_class.txt"),
        (with_stage("stage_1_val_seen", ["Dig"]), "stage_1_val_seen holds 'Dig', allowed are training classes"),
        (with_stage("stage_2_test_seen", ["Dig"]), "holds 'Dig', allowed are training and validation classes"),
        (
            with_stage("stage_1_val_unseen", ["Bee, wasp", "Cut"]),
            "stage_1_val_unseen holds 'Cut', which is a seen class",
        ),
        (with_stage("stage_2_test_unseen", ["Bee, wasp"]), "holds 'Bee, wasp', which is a seen class"),
        (with_stage("stage_1_train", ["Cut", "Cut"]), "2 names, 1 distinct"),
        (with_stage("stage_1_train", ["../Cut"]), "class name '../Cut', allowed are"),
        (with_stage("stage_1_train", ["/etc/passwd"]), "class name '/etc/passwd', allowed are"),
        (with_stage("stage_1_train", ["a\\b"]), "allowed are printed characters"),
        (with_stage("stage_1_train", [".."]), "no leading dot"),
        (with_stage("stage_1_train", ["a\x07"]), "printed characters"),
        (with_stage("stage_1_train", ["x" * 201]), "at most 200 bytes"),
        (replace(Made(), manual={**Made().manual, "cut": "x"}), "differ in case only"),
        (replace(Made(), columns=("filename", "label_code")), "lacks one of the columns label"),
    ],
)
def test_contradictions_are_errors_of_one_line(tmp_path, made, message):
    folder = tmp_path / made.name / "class-split"
    (tmp_path / made.name / "features" / made.features).mkdir(parents=True)
    (folder / made.split).mkdir(parents=True)
    (folder / "all_class.txt").write_text("\n".join(made.manual))
    for stage, names in made.stages.items():
        (folder / made.split / f"{stage}.txt").write_text("\n".join(names))
        (folder / made.split / f"{stage}.csv").write_text(
            ",".join(made.columns) + "\n" + "".join(f'a,1,"{name}"\n' for name in names)
        )
    with pytest.raises(TrainingError, match=message) as caught:
        read_splits(Layout(tmp_path, made.name, made.features, made.split))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 names"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"x" * (5 << 20), "at most 4194304 are read"),
    ],
)
def test_a_bad_list_is_an_error_of_one_line(tmp_path, content, message):
    layout, _ = opened(tmp_path, Made())
    (layout.split_folder / "stage_1_train.txt").write_bytes(content)
    with pytest.raises(TrainingError, match=message) as caught:
        read_splits(layout)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ("features/main_features", "class-split/main_split"))
def test_a_missing_folder_is_named(tmp_path, missing):
    write_layout(tmp_path, Made())
    (tmp_path / "Small" / missing).rename(tmp_path / "away")
    with pytest.raises(TrainingError, match=f"{missing}: no such folder; unpack"):
        Layout(tmp_path, "Small", "main_features", "main_split")


def test_the_order_of_csv_columns_does_not_matter(tmp_path):
    made = Made()
    for number, columns in enumerate((("filename", "label", "label_code"), ("label_code", "label", "filename"))):
        _, splits = opened(tmp_path / str(number), replace(made, columns=columns), with_features=False)
        assert splits.listed == made.clips
