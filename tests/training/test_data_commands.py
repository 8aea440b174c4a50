"""render, prepare and picture as a user runs them."""

import subprocess
import sys

import pytest

from training.__main__ import SUBCOMMANDS, main
from training.data.attributes import ORIGIN

from .data.clips import write_clip, write_mute

CONFIG = """
[benchmark]
num_seen = 6
num_val_unseen = 1
num_test_unseen = 1
train_clips = 1
val_seen_clips = 1
val_unseen_clips = 1
test_clips = 1
num_frames = 5
[preparation]
num_bins = 4
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return str(path)


def test_render_then_prepare_then_up_to_date(config, tmp_path, capsys):
    render = ["render", "--config", config, "--out", str(tmp_path / "videos")]
    prepare = ["prepare", "--config", config, "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "data")]
    assert main(render) == 0 and main(prepare) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path}/videos: 21 {ORIGIN}\n{tmp_path}/data: 21 clips, 0 truncated, 0 skipped; {ORIGIN}\n"
    )
    assert main(render) == 0 and main(prepare) == 0
    assert capsys.readouterr().out == f"{tmp_path}/videos: up to date\n{tmp_path}/data: up to date\n"


def one_line_error(capsys, arguments):
    assert main(arguments) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("python -m training: error: ")
    return message


def test_user_errors_are_one_line(config, tmp_path, capsys):
    out = str(tmp_path / "out")
    videos = tmp_path / "videos"
    videos.mkdir()
    prepare = ["prepare", "--config", config, "--videos", str(videos), "--out", out]
    assert "holds no video" in one_line_error(capsys, prepare)
    write_mute(videos / "mute.avi")
    assert "it has no sound" in one_line_error(capsys, prepare)
    assert "no such file" in one_line_error(capsys, ["render", "--config", "none.toml", "--out", out])
    assert "no such file" in one_line_error(capsys, ["picture", "none.mp4", "--out", f"{out}.png"])
    assert "ends in .png" in one_line_error(capsys, ["picture", str(videos / "mute.avi"), "--out", f"{out}.jpg"])
    (tmp_path / "config.toml").write_text("[preparation]\nbins = 4\n")
    assert "unknown key 'bins'" in one_line_error(capsys, prepare)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "videos"]


def test_picture_takes_the_first_seconds(tmp_path, capsys):
    clip = write_clip(tmp_path / "clip.mp4")
    assert main(["picture", str(clip), "--out", str(tmp_path / "a.png"), "--duration", "0.5", "--size", "64"]) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == f"{tmp_path}/a.png\n"
    assert "duration_s is -1.0" in one_line_error(
        capsys, ["picture", str(clip), "--out", str(tmp_path / "b.png"), "--duration", "-1"]
    )


@pytest.mark.parametrize("name", [entry.name for entry in SUBCOMMANDS])
def test_help_teaches_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"python -m training {name} " in capsys.readouterr().out


def test_the_terminal_shows_nothing_but_the_message(tmp_path):
    (tmp_path / "fake.mp4").write_text("text")
    command = [
        sys.executable,
        "-m",
        "training",
        "picture",
        str(tmp_path / "fake.mp4"),
        "--out",
        str(tmp_path / "a.png"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "unreadable or damaged" in done.stderr
