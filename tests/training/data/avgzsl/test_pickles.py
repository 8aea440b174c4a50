"""Pickles of arrays are read; anything that could run, write or grow is refused."""

import collections
import os
import pickle
import struct

import numpy as np
import pytest

from training.data.avgzsl import pickles
from training.data.avgzsl.pickles import read_object_npy, read_pickle
from training.errors import TrainingError


def write(tmp_path, content):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    return path


VALUE = {
    "features": [np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray(np.eye(3)), np.zeros((0, 3), ">f4")],
    "video_names": np.array(["a", "bc"], "S80"),
    "names": [b"x\xff", "ü", np.bytes_(b"y"), np.str_("z")],
    "fps": [25, 29.97, np.float32(0.5), np.int64(7), 1 << 40, None, True],
}


@pytest.mark.parametrize("protocol", (2, 3, 4, 5))
def test_arrays_in_plain_containers_come_back_equal(tmp_path, protocol):
    read = read_pickle(write(tmp_path, pickle.dumps(VALUE, protocol)))
    assert list(read) == list(VALUE)
    for got, expected in zip(read["features"], VALUE["features"], strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype.newbyteorder("=") and got.flags.f_contiguous == expected.flags.f_contiguous
    np.testing.assert_array_equal(read["video_names"], VALUE["video_names"])
    assert read["names"] == VALUE["names"] and read["fps"] == VALUE["fps"]


def test_numpy_1_and_2_name_their_modules_differently(tmp_path):
    ours, core = pickle.dumps(VALUE, 3), np.array(0).__reduce__()[0].__module__.split(".")[1].encode()
    other = {b"core": b"_core", b"_core": b"core"}[core]
    assert b"numpy." + core + b"." in ours
    read = read_pickle(write(tmp_path, ours.replace(b"numpy." + core + b".", b"numpy." + other + b".")))
    np.testing.assert_array_equal(read["features"][0], VALUE["features"][0])


def test_an_object_array_is_its_list(tmp_path):
    array = np.empty(2, object)
    array[:] = [np.ones(2), np.zeros(3)]
    first, second = read_pickle(write(tmp_path, pickle.dumps(array)))
    np.testing.assert_array_equal(first, np.ones(2))
    np.testing.assert_array_equal(second, np.zeros(3))


def test_an_npy_file_of_a_dict(tmp_path):
    np.save(tmp_path / "a.npy", {"Cut it": np.ones(3, np.float32)}, allow_pickle=True)
    (item,) = read_object_npy(tmp_path / "a.npy").items()
    assert item[0] == "Cut it" and item[1].tolist() == [1, 1, 1]


@pytest.mark.parametrize("value", (np.zeros(3), np.array([{}, {}], object)))
def test_other_npy_files_are_refused(tmp_path, value):
    np.save(tmp_path / "a.npy", value, allow_pickle=True)
    with pytest.raises(TrainingError, match="allowed is one object; save a dict"):
        read_object_npy(tmp_path / "a.npy")


class Runs:
    def __init__(self, call, *arguments):
        self.state = call, arguments

    def __reduce__(self):
        return self.state


def glob(module, name):
    return f"c{module}\n{name}\n".encode()


NEW_ARRAY = glob("numpy.core.multiarray", "_reconstruct") + glob("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
FLOAT32 = glob("numpy", "dtype") + b"X\x02\x00\x00\x00f4\x89\x88\x87R"
PROTOCOL = b"\x80\x03"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(Runs(os.system, "true")), "the global posix.system"),
        (pickle.dumps(Runs(eval, "1")), "the global builtins.eval"),
        (pickle.dumps({"features": [Runs(print, "x")]}), "the global builtins.print"),
        (pickle.dumps(collections.OrderedDict(a=1)), "the global collections.OrderedDict"),
        (PROTOCOL + glob("numpy", "load") + b".", "the global numpy.load"),
        (PROTOCOL + glob("numpy", "testing.runstring") + b".", "the global numpy.testing.runstring"),
        (PROTOCOL + glob("numpy.core.multiarray", "_reconstruct") + b".", "a type or function"),
        (PROTOCOL + glob("numpy", "dtype") + b".", "a type or function"),
        (PROTOCOL + glob("_codecs", "encode") + b"}b.", "a state for a function"),
        (PROTOCOL + glob("numpy", "ndarray") + b")R.", "'_Array' object has no attribute 'value'"),
        (PROTOCOL + glob("numpy", "ndarray") + b"}b.", "missing 1 required positional argument"),
        (b"cos\nsystem\n(S'true'\ntR.", "the opcode STRING"),
        (b"\x80\x02\x82\x01.", "the opcode EXT1"),
        (b"\x80\x04" + glob("numpy", "ndarray") + b")\x81.", "the opcode NEWOBJ"),
        (b"\x80\x02Pperson\n.", "the opcode PERSID"),
        (b"\x80\x02K\x01r\xff\xff\xff\x7f.", "a memo place"),
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 62) + b".", "expected 4611686018427387904 bytes"),
        (
            PROTOCOL + NEW_ARRAY + b"(K\x01\x8a\x05\x00\x00\x00\x00\x01\x85" + FLOAT32 + b"\x89C\x00tb.",
            "fill its shape",
        ),
        (PROTOCOL + NEW_ARRAY + b"(K\x01K\x02\x85" + FLOAT32 + b"\x89C\x04abcdtb.", "fill its shape"),
        (PROTOCOL + FLOAT32.replace(b"f4", b"V9") + b".", "a type or function"),
        (
            PROTOCOL + NEW_ARRAY + b"(K\x01K\x01\x85" + FLOAT32.replace(b"f4", b"m8") + b"\x89C\x08abcdefghtb.",
            "elements of type timedelta64",
        ),
        (pickle.dumps([[[[[1]]]]]), "nested deeper"),
        (pickle.dumps({(1, 2): 3}), "nested deeper"),
        (pickle.dumps(VALUE)[:-40], "pickle exhausted|not enough|expected"),
        (b"", "pickle exhausted"),
        (b"no pickle", "the opcode|opcode"),
    ],
)
def test_refused_in_one_line(tmp_path, content, reason):
    with pytest.raises(TrainingError, match=reason) as caught:
        read_pickle(write(tmp_path, content))
    assert "\n" not in str(caught.value) and "refused" in str(caught.value)


def test_the_refused_globals_did_not_run(tmp_path):
    mark = tmp_path / "ran"
    with pytest.raises(TrainingError):
        read_pickle(write(tmp_path, pickle.dumps(Runs(os.mkdir, str(mark)))))
    assert not mark.exists()
    pickle.loads(pickle.dumps(Runs(os.mkdir, str(mark))))  # what an ordinary unpickler does
    assert mark.exists()


def test_shared_lists_do_not_multiply(tmp_path):
    inner = [1] * 1000
    with pytest.raises(TrainingError, match="shared so often"):
        read_pickle(write(tmp_path, pickle.dumps([[inner] * 1000] * 1000)))


def test_stand_ins_are_left_as_they_were(tmp_path):
    before = {name: dict(vars(value)) for name, value in vars(pickles).items() if isinstance(value, type)}
    content = PROTOCOL + glob("numpy", "dtype") + b"N}X\x01\x00\x00\x00xK\x01s\x86b."
    with pytest.raises(TrainingError):
        read_pickle(write(tmp_path, content))
    assert before == {name: dict(vars(value)) for name, value in vars(pickles).items() if isinstance(value, type)}


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_BYTES", 10)
    with pytest.raises(TrainingError, match="at most 10 are read"):
        read_pickle(write(tmp_path, pickle.dumps(VALUE)))
