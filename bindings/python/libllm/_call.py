# SPDX-License-Identifier: MIT
"""How C is called: handles and their end, errors, callbacks that raise, and Ctrl-C.

Invariants
- A handle is freed once, and never while a call uses it: it counts its uses.
- Nothing is freed from inside a call of the library. Python's garbage collector may run in a callback, where the
  library holds locks and allows next to nothing; what dies there is freed when the thread's outermost call has
  returned.
- No exception crosses C: what a callback raises is kept, and raised by the call that it happened in.
- Handles of a process that forked are dead in its child: the library's threads are not there.
"""

from __future__ import annotations

import collections
import ctypes
import os
import queue
import threading
from typing import Any, Callable, TypeVar

from . import _abi
from ._errors import closed, error_of, make_error
from ._library import library

SLICE = 0.05  # seconds that a call may last before Python sees to signals

T = TypeVar("T")


class _Thread(threading.local):
    depth = 0  # calls of the library that this thread is in, callbacks' own included


_thread = _Thread()
_dead: collections.deque[tuple[Any, Any, Any]] = collections.deque()  # (free, pointer, what C may call meanwhile)
_process = 0  # how often this process is the child of a fork


def _forked() -> None:
    global _process
    _process += 1
    _dead.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def call(name: str, *arguments: Any) -> Any:
    """Calls a function of llm.h."""
    function = getattr(library(), name)
    _thread.depth += 1
    try:
        return function(*arguments)
    finally:
        _thread.depth -= 1
        _bury()


def check(name: str, *arguments: Any) -> int:
    """Calls a function that answers llm_status, with an llm_error after `arguments`. Raises LLMError; returns what is
    no error."""
    error = _abi.llm_error()
    status: int = call(name, *arguments, ctypes.byref(error))
    if status < 0:
        raise error_of(error)
    return status


def _bury() -> None:
    """Frees what waits for it, unless this thread is in a call."""
    while _dead and _thread.depth == 0:
        try:
            free, pointer, _kept = _dead.popleft()
        except IndexError:  # another thread took it
            return
        _thread.depth += 1
        try:
            free(pointer)
        finally:
            _thread.depth -= 1


def new(struct: Callable[[], T], **fields: Any) -> T:
    """A descriptor: LLM_INIT and the fields that are given."""
    made = struct()
    made.struct_size = ctypes.sizeof(made)  # type: ignore[attr-defined, arg-type]
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def text_field(value: bytes) -> Any:
    """Bytes for a `const char *` field of a struct, which keeps them alive."""
    return ctypes.cast(ctypes.c_char_p(value), ctypes.POINTER(ctypes.c_char))


def text_of(pointer: Any, length: int) -> str:
    """What a `const char *` field with a length says."""
    return ctypes.string_at(pointer, length).decode("utf-8", "replace") if pointer else ""


def fetch(item: Any, name: str, *arguments: Any, cap: int) -> Any:
    """Calls f(..., buf, cap, &n): with a usual size first, then with the one that it asks for. Returns the items: bytes
    for c_char, else a list."""
    size = ctypes.c_size_t()
    while True:
        buffer = (item * cap)()
        error = _abi.llm_error()
        status = call(name, *arguments, buffer, cap, ctypes.byref(size), ctypes.byref(error))
        if status >= 0:
            return buffer[: size.value]
        if status != _abi.LLM_E_SPACE:
            raise error_of(error)
        cap = size.value + 1


def fetch_text(name: str, *arguments: Any, cap: int = 4096) -> str:
    """The same for text."""
    text: bytes = fetch(ctypes.c_char, name, *arguments, cap=cap)
    return text.decode("utf-8", "replace")


class Handle:
    """One handle of the library. `with handle as pointer:` uses it; close() frees it when the last use is over."""

    def __init__(self, kind: Any, free: str, what: str, keeps: Any = None) -> None:
        self._process = _process
        self.keeps = keeps  # what C may call as long as this lives: the engine's logger
        self.pointer = ctypes.POINTER(kind)()  # create functions write here, so that no handle is ever without an owner
        self._free = getattr(library(), free)
        self._what = what
        self._lock = threading.RLock()  # a signal handler may cancel in the middle of our own bookkeeping
        self._uses = 0
        self._closed = False

    def __enter__(self) -> Any:
        if self._process != _process:  # before the lock: who held it is not in this process
            raise make_error(
                _abi.LLM_E_STATE, f"this {self._what} belongs to the process that forked: make another in the child"
            )
        with self._lock:
            if self._closed:
                raise closed(self._what)
            self._uses += 1
        return self.pointer

    def __exit__(self, *exception: Any) -> None:
        if self._process != _process:
            return
        with self._lock:
            self._uses -= 1
            last = self._closed and self._uses == 0
        if last:
            self._release()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def in_use(self) -> bool:
        return self._uses > 0

    def close(self) -> None:
        if self._process != _process:
            return
        with self._lock:
            self._closed = True
            last = self._uses == 0
        if last:
            self._release()

    def _release(self) -> None:
        pointer, self.pointer = self.pointer, None
        if pointer and self._process == _process:
            _dead.append((self._free, pointer, self.keeps))
            _bury()

    def __del__(self) -> None:
        if getattr(self, "_free", None):
            self._release()  # nobody can use it any more: whoever does holds a reference


class Use:
    """A use of a handle that lasts as long as this object lives."""

    def __init__(self, handle: Handle) -> None:
        handle.__enter__()
        self._handle = handle

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._handle.__exit__()


class Callbacks:
    """Python functions for C to call. The first exception that one of them raises is kept; after it none is called
    any more, nor after `stopped`."""

    def __init__(self, stop: Callable[[], None] | None = None) -> None:
        self.error: BaseException | None = None
        self.stopped = False  # set by who wants the call to end
        self._stop = stop  # called when one raises

    def wrap(self, kind: Any, function: Callable[..., Any], failed: Any = None) -> Any:
        """function as a callback of type kind, which answers `failed` when it raises. The caller keeps it as long as
        C may call it."""

        def called(*arguments: Any) -> Any:
            if self.error is not None or self.stopped:
                return failed
            try:
                return function(*arguments)
            except BaseException as error:  # nothing may cross C
                self.error = error
                if self._stop is not None:
                    self._stop()
                return failed

        return kind(called)

    def raise_error(self) -> None:
        """Raises what was kept, once."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error


def on_helper_thread(
    function: Callable[[], T],
    stop: Callable[[], None],
    progress: Callable[[float], Any] | None = None,
    news: queue.SimpleQueue[Any] | None = None,
) -> T:
    """Runs a long call on a thread of its own, while this one sees to signals and to `progress`.

    Python raises KeyboardInterrupt between two steps of the main thread's program. If that program is a callback of
    C, and this is its first step, ctypes prints the exception and forgets it. So calls that call back are not made on
    the main thread.

    stop: asks the call to end; called when this thread is interrupted or progress raises. The exception is raised
    when it has ended, so that nothing that the call uses goes before. news: fractions done, for `progress`, which is
    called on this thread.
    """
    news = news if news is not None else queue.SimpleQueue()
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
    result: Any = []

    def work() -> None:
        try:
            result.append((function() if wanted.get() else None, None))
        except BaseException as error:
            result.append((None, error))
        finally:
            news.put(None)

    try:
        threading.Thread(target=work, name="libllm", daemon=True).start()
    except BaseException:  # interrupted: whether the thread was made nobody knows, so it shall do nothing
        wanted.put(False)
        raise
    begun = False
    interrupted: BaseException | None = None
    while True:
        try:
            if not begun:
                begun = True
                wanted.put(True)
            while not result:
                try:
                    fraction = news.get(timeout=SLICE)
                except queue.Empty:
                    continue
                if fraction is not None and progress is not None and interrupted is None:
                    progress(fraction)
            break
        except BaseException as error:
            interrupted = interrupted or error
            stop()
    if interrupted is None and progress is not None:
        while not news.empty():
            fraction = news.get()
            if fraction is not None:
                progress(fraction)
    value, failure = result.pop()
    try:
        if interrupted is not None:
            raise interrupted
        if failure is not None:
            raise failure
        done: T = value
        return done
    finally:
        del interrupted, failure  # no circle of frame and exception: what the frame holds is let go at once


def may_call_back(function: Callable[[], T], stop: Callable[[], None]) -> T:
    """Runs a call that calls back into Python: on another thread if this is the main one (see on_helper_thread)."""
    if threading.current_thread() is threading.main_thread():
        return on_helper_thread(function, stop)
    return function()
