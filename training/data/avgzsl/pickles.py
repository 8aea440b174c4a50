"""Pickles from strangers, read without running anything of theirs.

Two locks. First every opcode is walked, and only those that build plain values and arrays are let through: no
`NEWOBJ`, no `EXT`, no persistent ids, no text opcodes of protocols 0 and 1, no memo places beyond the number of opcodes
(a memory bomb in CPython). Then an unpickler resolves the few global names that NumPy's arrays are made of, to
stand-ins of this module; any other name is refused. The stand-ins check shapes against the bytes that are there before
an array is made.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TrainingError

MAX_BYTES = 2 << 30
"""Of one pickle; a class file of non-averaged features has some 100 MB."""
MAX_OPCODES = 20_000_000
OPCODES = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    )
)
KINDS = "fiuSU"
"""Kinds of array elements: numbers and text of fixed length."""


class _Dtype:
    """Stands in for `numpy.dtype`: a code such as `f4` and, from its state, a byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(code, str) or len(code) > 12:
            raise pickle.UnpicklingError(f"a dtype of {code!r:.40}")
        self.code, self.order = code, "|"

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("a dtype with an unknown state")
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("a dtype with fields")
        self.order = state[1]

    @property
    def is_object(self) -> bool:
        return self.code in ("O", "O8")

    def resolve(self) -> np.dtype[Any]:
        try:
            dtype = np.dtype(self.code if self.order == "|" else self.order + self.code)
        except (TypeError, ValueError) as error:
            raise pickle.UnpicklingError(f"a dtype of {self.code!r:.40}") from error
        if dtype.kind not in KINDS or not dtype.itemsize:
            raise pickle.UnpicklingError(f"elements of type {dtype}, allowed are numbers and text")
        return dtype


class _Array:
    """Stands in for `numpy.ndarray`, as a class (in `_reconstruct`) and as what that returns."""

    value: Any

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise pickle.UnpicklingError("an array with an unknown state")
        _, shape, dtype, is_fortran, content = state
        self.value = _filled(shape, dtype, bool(is_fortran), content)


def _filled(shape: Any, dtype: _Dtype, is_fortran: bool, content: Any) -> Any:
    """Return the array, or for arrays of objects the list of them; sizes are compared first."""
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape) or len(shape) > 8:
        raise pickle.UnpicklingError("an array without a shape")
    num_elements = math.prod(shape)
    if dtype.is_object:
        if not isinstance(content, list) or len(content) != num_elements:
            raise pickle.UnpicklingError("an array of objects whose content does not fill its shape")
        return content
    element = dtype.resolve()
    if not isinstance(content, bytes | bytearray) or len(content) != num_elements * element.itemsize:
        raise pickle.UnpicklingError("an array whose content does not fill its shape")
    array = np.frombuffer(bytes(content), element).reshape(shape, order="F" if is_fortran else "C")
    return array.astype(element.newbyteorder("="), copy=False)


def _reconstruct(cls: Any, shape: Any, code: Any) -> _Array:
    if cls is not _Array:
        raise pickle.UnpicklingError("an array of a class of its own")
    return _Array()


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("an array without a dtype")
    array = _Array()
    array.value = _filled(shape, dtype, order == "F", content)
    return array


def _scalar(dtype: Any, content: Any) -> Any:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("a scalar without a dtype")
    return _filled((), dtype, False, content).item()


def _encode(text: Any, encoding: Any) -> bytes:
    """Return bytes as protocol 2 writes them: as text of code points below 256."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("text that is encoded in another way than latin1")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """Return what protocol 2 writes as a call, having no opcode for it."""
    return b""


class _Function:
    """A function of this module, closed against `BUILD`, which would write into its attributes."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a state for a function")


GLOBALS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Function(_encode),
    ("__builtin__", "bytes"): _Function(_empty_bytes),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Function(_reconstruct) for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Function(_scalar) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Function(_frombuffer) for core in ("core", "_core")},
}
"""Every global name that a pickle may hold, and what it means here."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in, never an object of another module."""
        if (module, name) not in GLOBALS:
            raise pickle.UnpicklingError(f"the global {module}.{name}, allowed are NumPy arrays in plain containers")
        return GLOBALS[module, name]


def read_pickle(path: Path) -> Any:
    """Read a pickle of dicts, lists, tuples, text, numbers and NumPy arrays.

    Args:
        path: a file that is a pickle of protocol 2 or later.

    Returns:
        The value; arrays are read-only, arrays of objects are flat lists.

    Raises:
        TrainingError: missing, too large, damaged, or with anything else in it.
    """
    return unpickle(_content(path), path)


def read_object_npy(path: Path) -> Any:
    """Read an npy file of one object (a 0-d object array, which is a pickle), as `np.save` writes a dict.

    Raises:
        TrainingError: as for `read_pickle`, or an npy file of another shape or type.
    """
    content = _content(path)
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format {version}")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
    except ValueError as error:
        raise TrainingError(f"{path}: no npy file ({str(error).splitlines()[0]}); write it again") from error
    if dtype != np.dtype(object) or shape != ():
        raise TrainingError(f"{path}: {dtype} of shape {shape}, allowed is one object; save a dict with np.save")
    (value,) = unpickle(content[stream.tell() :], path, is_array=True)
    return value


def unpickle(content: bytes, path: Path, *, is_array: bool = False) -> Any:
    """Read the bytes of a pickle; `path` is for messages, `is_array` asks for an array of one object."""
    try:
        num_opcodes = _check_opcodes(content)
        value = _Unfolding(num_opcodes).plain(_Unpickler(io.BytesIO(content)).load())
        if is_array and not (isinstance(value, list) and len(value) == 1):
            raise pickle.UnpicklingError("no array of one object")
    except (pickle.UnpicklingError, EOFError, *_DAMAGED) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(f"{path}: refused ({reason[:160]}); write it again as plain NumPy arrays") from error
    return value


_DAMAGED = (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError, MemoryError, RecursionError)
"""What unpickling raises on bytes that are no pickle."""


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; unpack the data set there")
    if path.stat().st_size > MAX_BYTES:
        raise TrainingError(f"{path}: {path.stat().st_size} bytes; at most {MAX_BYTES} are read")
    return path.read_bytes()


def _check_opcodes(content: bytes) -> int:
    """Walk all opcodes and return their number; `genops` compares the sizes that they state with what is there."""
    number = 0
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content), start=1):
        if opcode.name not in OPCODES:
            raise pickle.UnpicklingError(f"the opcode {opcode.name}")
        if (opcode.name == "LONG_BINPUT" and (argument or 0) > number) or number > MAX_OPCODES:
            raise pickle.UnpicklingError(f"a memo place or a number of opcodes beyond {min(number, MAX_OPCODES)}")
    return number


class _Unfolding:
    """Replaces stand-ins by their arrays, in no more places than the pickle has opcodes (shared lists multiply)."""

    def __init__(self, num_places: int) -> None:
        self._left = num_places

    def plain(self, value: Any, depth: int = 4) -> Any:
        """Return `value` with arrays; containers may nest `depth` deep."""
        self._left -= 1
        if self._left < 0:
            raise pickle.UnpicklingError("values that are shared so often that they would not fit")
        if isinstance(value, _Array):
            return self.plain(value.value, depth)
        if isinstance(value, dict | list | tuple) and not depth:
            raise pickle.UnpicklingError("containers that are nested deeper than 4")
        if isinstance(value, dict):
            return {self.plain(key, 0): self.plain(entry, depth - 1) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(entry, depth - 1) for entry in value]
        if not isinstance(value, _PLAIN):
            raise pickle.UnpicklingError("a type or function instead of a value")
        return value


_PLAIN = (np.ndarray, str, bytes, bytearray, int, float, type(None))
