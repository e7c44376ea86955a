# SPDX-License-Identifier: MIT
"""Chat: messages, and the model's template that makes one text of them."""

from __future__ import annotations

import ctypes
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _abi
from ._call import Handle, call, check, fetch_text, new, text_field, text_of
from ._model import Model
from ._reply import in_worker
from ._session import GenerateOptions, Session
from ._tokenizer import Text, encoded, fetch_tokens

if TYPE_CHECKING:
    import datetime

    from typing_extensions import Unpack


class ChatInfo(NamedTuple):
    origin: str  # of the template: "given", "model", "builtin"
    name: str


class ChatEvent(NamedTuple):
    """A part of a reply."""

    kind: str  # "text": what is said; "reasoning": what the model only thinks; "call": of a tool
    text: str  # of a call its arguments, a JSON object
    name: str = ""  # of a call
    id: str = ""


class Chat:
    """Begins a chat without messages. The chat is the record of what was said; Session.sync_chat tells it to a session.

    template       a Jinja template of your own; or
    template_name  one of the model's by name, or the library's: chatml, llama3, gemma, mistral, phi3, zephyr.
                   Neither: what fits
    tools          a list of {"type": "function", "function": {...}}
    variables      what the template finds as variables: {"enable_thinking": False}
    date           what the template is told as the time: "2026-11-22", or a date or datetime; None: a template that
                   asks is refused

    Text of messages never becomes a control token, whatever it says. Roles are yours to choose: take them from no
    stranger. One thread at a time. Raises NotFoundError, FormatError (the template's line is named),
    UnsupportedError, LimitError.
    """

    def __init__(
        self,
        model: Model,
        *,
        template: Text | None = None,
        template_name: str | None = None,
        tools: Sequence[Any] | None = None,
        variables: Mapping[str, Any] | None = None,
        date: str | datetime.date | None = None,
    ) -> None:
        desc = new(_abi.llm_chat_desc)
        given = {
            "template_text": None if template is None else encoded(template),
            "template_name": None if template_name is None else encoded(template_name),
            "tools": None if tools is None else _json(tools),
            "variables": None if variables is None else _json(variables),
            "date": None if date is None else _date(date),
        }
        for name, value in given.items():
            if value is not None:
                setattr(desc, name, text_field(value))
                setattr(desc, name + "_len", len(value))
        self._handle = Handle(_abi.llm_chat, "llm_chat_free", "chat", model._handle.keeps)
        self.model = model
        with model._handle as pointer:
            check("llm_chat_create", pointer, ctypes.byref(desc), ctypes.byref(self._handle.pointer))

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Gives the chat up. Sessions keep what was put in."""
        self._handle.close()

    def add(self, role: str, text: Text) -> None:
        """Adds a message: add("user", "What is 17 + 25?"). Raises InvalidError (no UTF-8), BusyError."""
        name, data = encoded(role), encoded(text)
        with self._handle as chat:
            check("llm_chat_add", chat, name, len(name), data, len(data))

    def add_message(self, message: Mapping[str, Any]) -> None:
        """Adds a message with all that it may have: role, content, tool_calls, tool_call_id, name, reasoning_content
        ... Raises FormatError, UnsupportedError (parts that are no text), LimitError, BusyError."""
        data = _json(message)
        with self._handle as chat:
            check("llm_chat_add_json", chat, data, len(data))

    def __len__(self) -> int:
        """How many messages there are."""
        with self._handle as chat:
            return int(call("llm_chat_n_messages", chat))

    def rewind(self, n_messages: int) -> None:
        """Keeps the first n messages. Raises InvalidError if there are fewer."""
        if n_messages < 0:
            raise ValueError("n_messages is not negative")
        with self._handle as chat:
            check("llm_chat_rewind", chat, n_messages)

    @property
    def info(self) -> ChatInfo:
        """Which template was taken."""
        info = new(_abi.llm_chat_info)
        with self._handle as chat:
            check("llm_chat_get_info", chat, ctypes.byref(info))
            origins = {_abi.LLM_CHAT_GIVEN: "given", _abi.LLM_CHAT_MODEL: "model", _abi.LLM_CHAT_BUILTIN: "builtin"}
            return ChatInfo(origins.get(info.origin, str(info.origin)), text_of(info.name, info.name_len))

    def answer(self, session: Session, **options: Unpack[GenerateOptions]) -> Iterator[ChatEvent]:
        """The model's answer by its parts, each as soon as it is there: `for event in chat.answer(session,
        max_tokens=100):`. The options are those of Session.generate.

        When the loop has come to its end, the chat has the answer as a message. If it is left early (break, Ctrl-C, an
        exception), the reply is cancelled and the chat is as it was, unless you call add_reply(). Calls of tools are
        answered with add_message({"role": "tool", ...}) and another answer. Raises as Session.sync_chat and step.
        """
        self._begin_answer(session, options)
        try:
            working = True
            while working:
                working = session.step()
                yield from iter(lambda: self.read(session), None)
        except BaseException:
            session._settle()
            raise
        self.add_reply()

    async def aanswer(self, session: Session, **options: Unpack[GenerateOptions]) -> AsyncIterator[ChatEvent]:
        """The same for `async for`: steps run on worker threads, and cancelling the task cancels the reply."""
        self._begin_answer(session, options)
        try:
            working = True
            while working:
                working = await in_worker(session.step, session.cancel)
                for event in iter(lambda: self.read(session), None):
                    yield event
        except BaseException:
            session._settle()
            raise
        self.add_reply()

    def _begin_answer(self, session: Session, options: GenerateOptions) -> None:
        session.sync_chat(self)
        options.setdefault("show_special", True)
        session.begin(**options)

    def read(self, session: Session) -> ChatEvent | None:
        """The next part of a reply that a session makes after sync_chat and begin(show_special=True), instead of
        Session.read_text; None: nothing now. Raises InvalidError (a session of another model), BusyError."""
        event = new(_abi.llm_chat_event)
        with self._handle as chat, session._handle as s:
            if check("llm_chat_read", chat, s, ctypes.byref(event)) != _abi.LLM_MORE:
                return None
            return ChatEvent(
                _EVENTS.get(event.kind, str(event.kind)),
                text_of(event.text, event.text_len),
                text_of(event.name, event.name_len),
                text_of(event.id, event.id_len),
            )

    def add_reply(self) -> None:
        """Adds the reply, as far as read has told it, as a message of the assistant. Raises BusyError."""
        with self._handle as chat:
            check("llm_chat_add_reply", chat)

    def render(self, *, prompt: bool = True) -> str:
        """The text of all messages, for people. prompt=False: without the beginning of a reply. Raises InvalidError
        (the template refuses these messages: its line and words are in the message), LimitError."""
        with self._handle as chat:
            return fetch_text("llm_chat_render", chat, 0 if prompt else _abi.LLM_CHAT_NO_PROMPT)

    def encode(self, *, prompt: bool = True) -> list[int]:
        """The tokens of all messages, as Session.sync_chat puts them in."""
        with self._handle as chat:
            return fetch_tokens("llm_chat_encode", chat, 0 if prompt else _abi.LLM_CHAT_NO_PROMPT, cap=1024)


_EVENTS = {_abi.LLM_EVENT_TEXT: "text", _abi.LLM_EVENT_REASONING: "reasoning", _abi.LLM_EVENT_CALL: "call"}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")


def _date(value: str | datetime.date) -> bytes:
    text = value if isinstance(value, str) else value.isoformat().replace("T", " ")[:19]
    return text.encode("utf-8")
