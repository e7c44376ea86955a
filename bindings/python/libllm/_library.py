# SPDX-License-Identifier: MIT
"""Which shared library is used, and its functions.

It is opened at first use: the one that load_library named, else the one of the environment variable LIBLLM_LIBRARY,
else the one in this package's wheel, else the system's of the same ABI. Opened with ctypes.CDLL, so the GIL is free
during every call.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading

from . import _abi

_lock = threading.Lock()
_library: ctypes.CDLL | None = None
_path: str | None = None


def load_library(path: str | os.PathLike[str] | None = None) -> str:
    """Opens the shared library, and returns where it was found. Only needed to name another than the usual one,
    before anything else is used.

    path: of libllm.so, libllm.dylib or llm.dll; None: the usual one.
    Raises OSError if there is none that can be opened, ImportError if it is older than these bindings, RuntimeError
    if another one is in use already. Any thread.
    """
    global _library, _path
    with _lock:
        if _library is not None:
            if path is not None and os.path.realpath(path) != os.path.realpath(_path or ""):
                raise RuntimeError(f"{_path} is in use already; name another library before anything else is used")
            return _path or ""
        _path, _library = _open(os.fspath(path) if path is not None else _usual_path())
        return _path


def library() -> ctypes.CDLL:
    """The library, opened if that is still due."""
    if _library is None:
        load_library()
    assert _library is not None
    return _library


def _usual_path() -> str:
    named = os.environ.get("LIBLLM_LIBRARY")
    if named:
        return named
    major, minor = _abi.LLM_ABI >> 16, _abi.LLM_ABI & 0xFFFF
    version = f"{major}.{minor}" if major == 0 else f"{major}"
    bundled, systems = {
        "win32": ("libllm.dll", "llm.dll"),
        "darwin": ("libllm.dylib", f"libllm.{version}.dylib"),
    }.get(sys.platform, ("libllm.so", f"libllm.so.{version}"))
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_lib", bundled)
    return path if os.path.exists(path) else systems


def _open(path: str) -> tuple[str, ctypes.CDLL]:
    try:
        opened = ctypes.CDLL(path)
    except OSError as error:
        raise OSError(
            f"the libllm shared library was not found or cannot be opened: {error}. Install the wheel, or name "
            f"the library with libllm.load_library(path) or the environment variable LIBLLM_LIBRARY"
        ) from error
    for name, (result, parameters) in _abi.FUNCTIONS.items():
        try:
            function = getattr(opened, name)
        except AttributeError:
            raise ImportError(f"{path} is no libllm, or older than these bindings: it has no {name}") from None
        function.restype = result
        function.argtypes = parameters
    return path, opened
