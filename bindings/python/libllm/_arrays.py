# SPDX-License-Identifier: MIT
"""Numbers of the library as NumPy arrays, or as memoryviews where there is no NumPy."""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Any

from ._call import Handle, Use

if TYPE_CHECKING:
    import numpy
    import numpy.typing

    Floats = numpy.typing.NDArray[numpy.float32]  # without NumPy: a memoryview of format "f"

_numpy: Any = False  # False: not looked for yet; None: there is none


def _find_numpy() -> Any:
    global _numpy
    if _numpy is False:
        try:
            import numpy as _numpy
        except ImportError:
            _numpy = None
    return _numpy


def _present(buffer: Any, writable: bool) -> Any:
    numpy = _find_numpy()
    if numpy is None:
        view = memoryview(buffer).cast("B").cast("f")
        return view if writable else view.toreadonly()
    array = numpy.frombuffer(buffer, dtype=numpy.float32)
    array.flags.writeable = writable
    return array


def copy_floats(pointer: Any, n: int) -> Floats:
    """n floats in memory of their own."""
    buffer = (ctypes.c_float * n)()
    ctypes.memmove(buffer, pointer, n * 4)
    floats: Floats = _present(buffer, True)
    return floats


def borrow_floats(pointer: Any, n: int, handle: Handle) -> tuple[Floats, weakref.ref[Any]]:
    """n floats where they are, read-only; the handle lives as long as anything looks at them. The second is dead when
    nothing does."""
    buffer: Any = (ctypes.c_float * n).from_address(ctypes.addressof(pointer.contents))
    buffer.use = Use(handle)
    return _present(buffer, False), weakref.ref(buffer)


class Borrowed:
    """Who looks at a session's memory."""

    def __init__(self) -> None:
        self._refs: list[weakref.ref[Any]] = []

    def add(self, ref: weakref.ref[Any]) -> None:
        self._refs = [old for old in self._refs if old() is not None] + [ref]

    def check(self) -> None:
        """Raises BufferError if anybody does: the memory is about to change or to go."""
        if self._refs:
            self._refs = [ref for ref in self._refs if ref() is not None]
            if self._refs:
                raise BufferError(
                    "an array borrowed from this session (logits, scores) is still in use, and would change under you: "
                    "let go of it (del), or take it with copy=True"
                )


class Scratch:
    """Memory of ours that a callback's array stands on, so that one who keeps the array looks at no freed memory."""

    def __init__(self) -> None:
        self._buffer: Any = None
        self._array: Any = None

    def array(self, pointer: Any, n: int) -> Any:
        """A writable array with a copy of what pointer has. The next call writes over it."""
        if self._buffer is None or len(self._buffer) != n:
            self._buffer = (ctypes.c_float * n)()
            self._array = _present(self._buffer, True)
        ctypes.memmove(self._buffer, pointer, n * 4)
        return self._array

    def give_back(self, pointer: Any, n: int) -> None:
        ctypes.memmove(pointer, self._buffer, n * 4)
