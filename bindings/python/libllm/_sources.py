# SPDX-License-Identifier: MIT
"""Where files come from and go to: paths, bytes, file objects."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from typing import IO, Any, Union

from . import _abi
from ._call import Callbacks, new, text_field

Source = Union[str, "os.PathLike[Any]", bytes, bytearray, memoryview, IO[bytes]]
Sources = Union[Source, Sequence[Source]]


class OpenSources:
    """Sources of one call, as the library wants them; exceptions of file objects are in `callbacks`."""

    def __init__(self, sources: Sources, callbacks: Callbacks) -> None:
        listed = list(sources) if isinstance(sources, (list, tuple)) else [sources]
        if not listed:
            raise ValueError("there is no source")
        self._callbacks = callbacks
        self._kept: list[Any] = []
        self.structs = [self._open(source) for source in listed]
        pointer = ctypes.POINTER(_abi.llm_source)
        self.array = (pointer * len(listed))(*(ctypes.pointer(struct) for struct in self.structs))
        self.count = len(listed)

    def _open(self, source: Any) -> _abi.llm_source:
        if isinstance(source, (str, os.PathLike)):
            path = os.fsencode(source)
            return new(_abi.llm_source, kind=_abi.LLM_SOURCE_PATH, path=text_field(path), path_len=len(path))
        if isinstance(source, bytes):
            address = ctypes.cast(ctypes.c_char_p(source), ctypes.c_void_p)
            return new(_abi.llm_source, kind=_abi.LLM_SOURCE_BUFFER, data=address, data_len=len(source))
        try:
            view = memoryview(source).cast("B")
        except TypeError:
            if hasattr(source, "read") and hasattr(source, "seek"):
                return self._reader(_FileReader(source, self._callbacks))
            raise TypeError(
                "a model comes from a path, bytes or a file opened for reading bytes, not from a "
                f"{type(source).__name__}"
            ) from None
        if view.readonly:
            return self._reader(_BufferReader(view))
        held = (ctypes.c_char * view.nbytes).from_buffer(view)
        self._kept.append(held)
        return new(_abi.llm_source, kind=_abi.LLM_SOURCE_BUFFER, data=ctypes.addressof(held), data_len=view.nbytes)

    def _reader(self, reader: Any) -> _abi.llm_source:
        function = self._callbacks.wrap(_abi.llm_reader_read, reader.read, _abi.LLM_E_IO)
        table = new(_abi.llm_reader, size=reader.size, read=function)
        self._kept += [table, function]
        return new(_abi.llm_source, kind=_abi.LLM_SOURCE_READER, reader=ctypes.pointer(table))


class _FileReader:
    """A file object. Its position is moved."""

    def __init__(self, file: Any, callbacks: Callbacks) -> None:
        self._file = file
        self._callbacks = callbacks
        self.size = file.seek(0, os.SEEK_END)

    def read(self, user: Any, offset: int, out: int, n: int) -> int:
        self._file.seek(offset)
        while n > 0:
            if self._callbacks.stopped:
                return _abi.LLM_E_CANCELLED
            data = self._file.read(min(n, 1 << 20))
            if not isinstance(data, (bytes, bytearray)):
                raise TypeError('the file must be opened for reading bytes ("rb")')
            if not data:
                raise EOFError(f"the file ends before byte {offset + n}")
            ctypes.memmove(out, bytes(data) if isinstance(data, bytearray) else data, len(data))
            out, n, offset = out + len(data), n - len(data), offset + len(data)
        return _abi.LLM_OK


class _BufferReader:
    """A read-only buffer of which ctypes gives no address, like a mapped file."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self.size = view.nbytes

    def read(self, user: Any, offset: int, out: int, n: int) -> int:
        ctypes.memmove(out, self._view[offset : offset + n].tobytes(), n)
        return _abi.LLM_OK


Target = Union[str, "os.PathLike[Any]", IO[bytes]]


class OpenSink:
    """Where one call writes."""

    def __init__(self, target: Target, callbacks: Callbacks) -> None:
        if isinstance(target, (str, os.PathLike)):
            path = os.fsencode(target)
            self.struct = new(_abi.llm_sink, kind=_abi.LLM_SINK_PATH, path=text_field(path), path_len=len(path))
            return

        def write(user: Any, data: int, n: int) -> int:
            rest = memoryview(ctypes.string_at(data, n))
            while rest:
                written = target.write(rest)
                rest = rest[len(rest) if written is None else written :]
            return _abi.LLM_OK

        self._write = callbacks.wrap(_abi.llm_writer_write, write, _abi.LLM_E_IO)
        self._table = new(_abi.llm_writer, write=self._write)
        self.struct = new(_abi.llm_sink, kind=_abi.LLM_SINK_WRITER, writer=ctypes.pointer(self._table))
