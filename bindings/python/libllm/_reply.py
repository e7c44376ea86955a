# SPDX-License-Identifier: MIT
"""Replies: a session's text as it is made, for `for` and `async for`."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable, TypeVar

from . import _abi
from ._errors import StateError
from ._session import Session, State

T = TypeVar("T")


class _Reply:
    """What both kinds share.

    end      how it ended, or None while it goes on
    session  what makes it
    """

    def __init__(self, session: Session, owned: bool = False) -> None:
        self.session = session
        self.end: State | None = None
        self._number = session._reply
        self._owned = owned  # the session was made for this reply, and goes with it

    def _advance(self) -> str:
        """Steps until there is a piece of text; "" at the end."""
        if self.end is not None:
            return ""
        if self._number != self.session._reply:
            raise StateError(
                _abi.LLM_E_STATE, "the session went on without this reply: something was put in, or another was begun"
            )
        working = True
        while True:
            text = self.session.read_text()
            if text:
                return text
            if not working:
                self.end = self.session.state
                self._leave()
                return ""
            working = self.session.step()

    def _break_off(self) -> None:
        if self.end is None and self._number == self.session._reply and not self.session._handle.closed:
            self.session._settle()
            state = self.session.state  # WORKING: the step that would report the cancel is still to come
            self.end = State.END_CANCELLED if state is State.WORKING else state
        self._leave()

    def _leave(self) -> None:
        if self._owned:
            self.session.close()


class Reply(_Reply, Iterator[str]):
    """Pieces of text: `for piece in reply`, or `reply.text()` for all of it. Leaving the loop early leaves the reply
    where it is; iterate again and it goes on, close() ends it. One thread at a time."""

    def __next__(self) -> str:
        try:
            piece = self._advance()
        except BufferError:  # a borrowed array is in the way: nothing has changed, the reply goes on without it
            raise
        except BaseException:  # Ctrl-C among others: the session stays usable
            self._break_off()
            raise
        if not piece:
            raise StopIteration
        return piece

    def text(self) -> str:
        """All that is still to come."""
        return "".join(self)

    def close(self) -> None:
        """Ends the reply if it is not over."""
        self._break_off()

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


class AsyncReply(_Reply, AsyncIterator[str]):
    """Pieces of text for `async for`, or `await reply.text()`. The steps run on threads of the event loop's default
    executor. When the task is cancelled, so is the reply, within 10 ms on the CPU; the session stays usable."""

    async def __anext__(self) -> str:
        try:
            piece = await in_worker(self._advance, self.session.cancel)
        except BufferError:
            raise
        except BaseException:
            self._break_off()
            raise
        if not piece:
            raise StopAsyncIteration
        return piece

    async def text(self) -> str:
        """All that is still to come."""
        return "".join([piece async for piece in self])

    async def aclose(self) -> None:
        """Ends the reply if it is not over."""
        self._break_off()

    async def __aenter__(self) -> AsyncReply:
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self.aclose()


async def in_worker(function: Callable[[], T], cancel: Callable[[], None]) -> T:
    """Runs function on a thread of the default executor. If the task is cancelled, calls `cancel` and waits until it
    is over."""
    run = functools.partial(contextvars.copy_context().run, function)
    future = asyncio.get_running_loop().run_in_executor(None, run)
    interrupted: BaseException | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            interrupted = interrupted or error
            cancel()
    if interrupted is not None:
        future.exception()  # looked at, so that nobody complains of it
        raise interrupted
    return future.result()
