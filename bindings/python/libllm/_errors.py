# SPDX-License-Identifier: MIT
"""Exceptions: one class for each usual status, each also of the built-in class that a Python program would expect."""

from __future__ import annotations

import errno
from typing import Any

from . import _abi

_NO_OFFSET = 0xFFFFFFFFFFFFFFFF


class LLMError(Exception):
    """A call of the library failed.

    status       the number, LLM_E_* of llm.h; always < 0
    status_name  its name: "LLM_E_FORMAT"
    message      a sentence that can be shown as it is
    subject      the tensor, key or field that it is about; may be empty
    offset       the place in the file or text in bytes, or None
    """

    def __init__(self, status: int, message: str, subject: str = "", offset: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.subject = subject
        self.offset = offset

    @property
    def status_name(self) -> str:
        return _NAMES.get(self.status, f"LLM_E_{-self.status}")

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> Any:
        return type(self), (self.status, self.message, self.subject, self.offset)


class InvalidError(LLMError, ValueError):
    """An argument is out of its range."""


class StateError(LLMError, RuntimeError):
    """The object is in no state for this call."""


class BusyError(LLMError, RuntimeError):
    """Another call is in progress on this session or chat."""


class OutOfMemoryError(LLMError, MemoryError):
    """The allocator or the engine's memory_limit said no."""


class FileError(LLMError, OSError):
    """A file, descriptor or reader failed."""


class FormatError(LLMError, ValueError):
    """The file is not what it claims to be."""


class UnsupportedError(LLMError, NotImplementedError):
    """Well formed, but this library cannot do it."""


class VersionError(LLMError, ImportError):
    """These bindings need a newer library."""


class CancelledError(LLMError):
    """A callback or cancel() asked for it. (A cancelled reply is no error: it ends with State.END_CANCELLED.)"""


class ContextFullError(LLMError):
    """More tokens than the session's context holds; nothing was put in."""


class DeviceLostError(LLMError):
    """The GPU is gone: load the model anew."""


class NoDeviceError(LLMError, LookupError):
    """No such device here."""


class NumericError(LLMError, ArithmeticError):
    """NaN or infinity where a number was needed."""


class LimitError(LLMError):
    """A limit of the library or of the caller was passed."""


class NotFoundError(LLMError, FileNotFoundError):
    """No such key, file or item."""

    def __init__(self, status: int, message: str, subject: str = "", offset: int | None = None) -> None:
        super().__init__(status, message, subject, offset)
        self.errno = errno.ENOENT


class MismatchError(LLMError, ValueError):
    """A saved session of another model."""


class InternalError(LLMError):
    """A fault of the library: please report it."""


_CLASSES: dict[int, type[LLMError]] = {
    _abi.LLM_E_INVALID: InvalidError,
    _abi.LLM_E_STATE: StateError,
    _abi.LLM_E_BUSY: BusyError,
    _abi.LLM_E_MEMORY: OutOfMemoryError,
    _abi.LLM_E_IO: FileError,
    _abi.LLM_E_FORMAT: FormatError,
    _abi.LLM_E_UNSUPPORTED: UnsupportedError,
    _abi.LLM_E_VERSION: VersionError,
    _abi.LLM_E_CANCELLED: CancelledError,
    _abi.LLM_E_CONTEXT_FULL: ContextFullError,
    _abi.LLM_E_DEVICE_LOST: DeviceLostError,
    _abi.LLM_E_NO_DEVICE: NoDeviceError,
    _abi.LLM_E_NUMERIC: NumericError,
    _abi.LLM_E_LIMIT: LimitError,
    _abi.LLM_E_NOT_FOUND: NotFoundError,
    _abi.LLM_E_MISMATCH: MismatchError,
    _abi.LLM_E_INTERNAL: InternalError,
}
_NAMES = {value: name for name, value in vars(_abi).items() if name.startswith("LLM_E_")}


def make_error(status: int, message: str, subject: str = "", offset: int | None = None) -> LLMError:
    """The exception for a status."""
    return _CLASSES.get(status, LLMError)(status, message, subject, offset)


def error_of(error: _abi.llm_error) -> LLMError:
    """The exception for what the library wrote."""
    offset = None if error.offset == _NO_OFFSET else error.offset
    return make_error(
        error.status, error.message.decode("utf-8", "replace"), error.subject.decode("utf-8", "replace"), offset
    )


def closed(what: str) -> StateError:
    """The exception for the use of a closed object."""
    return StateError(_abi.LLM_E_STATE, f"this {what} is closed")
