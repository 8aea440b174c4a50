"""Feature folders in the AVCA family's layout, generated: features follow the class's word vector, plus noise."""

import csv
import json
import pickle
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

REAL = Path(__file__).parent / "real_splits"
STAGES = ("stage_1_train", "stage_1_val_seen", "stage_1_val_unseen", "stage_2_test_seen", "stage_2_test_unseen")


@dataclass(frozen=True)
class Made:
    """What is to be written: names, stages of the txt and clips of the csv; by default a small set."""

    name: str = "Small"
    manual: dict = field(
        default_factory=lambda: {"Apple": "Pear", "Bee, wasp": "bee", "Cut": "Cut it", "Dig": "Dig", "Eat": "Eat"}
    )
    stages: dict = field(
        default_factory=lambda: {
            "stage_1_train": ["Cut", "Apple"],
            "stage_1_val_seen": ["Apple", "Cut"],
            "stage_1_val_unseen": ["Bee, wasp"],
            "stage_2_test_seen": ["Apple", "Bee, wasp", "Cut"],
            "stage_2_test_unseen": ["Dig"],
        }
    )
    clips: dict = field(
        default_factory=lambda: {
            "stage_1_train": {"Apple": 4, "Cut": 3},
            "stage_1_val_seen": {"Apple": 2, "Cut": 1},
            "stage_1_val_unseen": {"Bee, wasp": 3},
            "stage_2_test_seen": {"Apple": 1, "Bee, wasp": 2, "Cut": 1},
            "stage_2_test_unseen": {"Dig": 2},
        }
    )
    columns: tuple = ("filename", "label_code", "label")
    split: str = "main_split"
    features: str = "main_features"
    num_audio: int = 5
    num_video: int = 7
    num_words: int = 4
    noise: float = 0.3
    seed: int = 0
    averaged: bool = True

    def with_union(self):
        """Also the stage that unites training and validation clips."""
        union: dict = {}
        for stage in STAGES[:3]:
            for name, count in self.clips[stage].items():
                union[name] = union.get(name, 0) + count
        return replace(
            self,
            stages={**self.stages, "stage_2_train": sorted(union)},
            clips={**self.clips, "stage_2_train": union},
        )


def real(name, split="main_split", **changes):
    """The real classes, splits and numbers of clips of UCF-GZSL or ActivityNet-GZSL."""
    values = json.loads((REAL / f"{name}.json").read_text())
    return Made(
        name=name,
        manual=values["manual"],
        stages=values["stages"][split],
        clips=values["clips"],
        columns=tuple(values["columns"]),
        split=split,
        **changes,
    )


def write_layout(root, made, *, with_features=True):
    """Write a whole data set below `root`; returns word vectors by manual name."""
    generator = np.random.default_rng(made.seed)
    words = unit_vectors(generator, made)
    word_of = {name.lower(): words[manual] for name, manual in made.manual.items()}
    write_class_split(root / made.name / "class-split", made)
    folder = root / made.name / "features" / made.features
    (folder / "text").mkdir(parents=True)
    np.save(folder / "text" / f"word_embeddings_{made.name.lower()}_normed.npy", words, allow_pickle=True)
    if with_features:
        maps = {
            modality: generator.standard_normal((made.num_words, size), np.float32)
            for modality, size in (("audio", made.num_audio), ("video", made.num_video))
        }
        for stage, clips in made.clips.items():
            for name, count in clips.items():
                urls = [f"v_{name}_{stage}_{number:04d}" for number in range(count)]
                write_pair(folder, stage, name, urls, word_of[name.lower()], maps, generator, made)
    return words


def unit_vectors(generator, made):
    rows = generator.standard_normal((len(made.manual), made.num_words)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return dict(zip(made.manual.values(), rows, strict=True))


def write_class_split(folder, made):
    (folder / made.split).mkdir(parents=True)
    (folder / "all_class.txt").write_text("\n".join(made.manual) + "\n")
    with (folder / f"{made.name.lower()}_w2v_class_names.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("original", "manual"), *made.manual.items()])
    codes = {name.lower(): str(code) for code, name in enumerate(sorted(made.manual))}
    for stage, names in made.stages.items():
        (folder / made.split / f"{stage}.txt").write_text("\n".join(names) + "\n")
        with (folder / made.split / f"{stage}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, made.columns)
            writer.writeheader()
            for name, count in made.clips[stage].items():
                for number in range(count):
                    filename = f"v_{name}_{stage}_{number:04d}"
                    writer.writerow({"filename": filename, "label": name, "label_code": codes[name.lower()]})


def write_pair(folder, stage, name, urls, word, maps, generator, made):
    lengths = [1] * len(urls) if made.averaged else generator.integers(3, 90, len(urls)).tolist()
    for modality, matrix in maps.items():
        path = folder / modality / stage / f"{name}.{'h5' if made.averaged else 'pkl'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        total = sum(lengths)
        rows = word @ matrix + made.noise * generator.standard_normal((total, matrix.shape[1]), np.float32)
        if made.averaged:
            write_h5(path, rows, urls)
        else:
            write_pkl(path, np.split(rows, np.cumsum(lengths)[:-1]), urls)


def write_h5(path, rows, urls):
    with h5py.File(path, "w") as file:
        file["data"] = rows
        file["video_urls"] = np.array(urls, "S80")


def write_pkl(path, clips, urls, protocol=4):
    value = {"features": list(clips), "video_names": np.array(urls, "S80"), "fps": [25] * len(clips)}
    path.write_bytes(pickle.dumps(value, protocol))
