# SPDX-License-Identifier: MIT
"""Session: one timeline of tokens with what the model remembers of them. Put in, step, take out."""

from __future__ import annotations

import contextlib
import ctypes
import enum
import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from . import _abi
from ._arrays import Borrowed, Scratch, borrow_floats, copy_floats
from ._call import SLICE, Callbacks, Handle, call, check, may_call_back, new
from ._engine import STATE_TYPES, Job, one_of
from ._errors import error_of
from ._model import Model
from ._sampler import Sampler, SamplerOptions, strings
from ._sources import OpenSink, OpenSources, Source, Target
from ._tokenizer import Text, encoded, token_array

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._arrays import Floats
    from ._chat import Chat
    from ._reply import AsyncReply, Reply

Prompt = Union[Text, Iterable[int]]


class State(enum.Enum):
    """What a session is doing, or how its reply ended."""

    READY = _abi.LLM_STATE_READY  # nothing to do
    WORKING = _abi.LLM_STATE_WORKING  # a step would do something
    END_TOKEN = _abi.LLM_END_TOKEN  # the model ended the reply
    END_STOP = _abi.LLM_END_STOP  # a stop text or token came
    END_LENGTH = _abi.LLM_END_LENGTH  # max_tokens
    END_CONTEXT = _abi.LLM_END_CONTEXT  # the context is full
    END_CANCELLED = _abi.LLM_END_CANCELLED
    END_GRAMMAR = _abi.LLM_END_GRAMMAR  # the text is whole, and its grammar allows nothing more
    FAILED = -1  # Session.failure says why; rewind or sync mends it


class SessionInfo(NamedTuple):
    n_prompt: int  # tokens taken in that were not drawn
    prompt_us: int  # and the time in steps for them, microseconds
    n_generated: int
    generate_us: int
    state_bytes: int  # pages that this session refers to, shared ones included
    n_ctx: int
    state_type: str
    n_slid: int  # tokens that sliding has forgotten


class GenerateOptions(SamplerOptions, total=False):
    """How a reply is made. With a Sampler, or with a recipe's own fields (temperature=0.8 ...), or greedy."""

    max_tokens: int  # 0: until the context is full
    seed: int  # a draw depends on (seed, position) and the timeline alone
    sampler: Sampler | None
    stop: Text | Iterable[Text]  # the text ends before the first of these
    stop_tokens: Iterable[int]  # or before one of these tokens
    ignore_end: bool  # end tokens do not end
    score: bool  # keep drawn tokens' log-probabilities, for scores()
    show_special: bool  # control tokens are part of the text, as what they are called
    continue_: bool  # no new reply: the one that the timeline ends with goes on, also behind a restore or a fork
    # Gets the logits before each draw, as a writable array, which is ours: it is written over by the next draw.
    # Called on the thread that steps, or one beside it; may use nothing of this session but cancel(). If it raises,
    # the reply is cancelled and the step raises the same.
    on_logits: Callable[[Any], Any] | None


class Session:
    """Begins an empty timeline.

    n_ctx       a bound in tokens, not a reservation; 0: the model's, at most 4096
    state_type  of what the model remembers: "f16"; "f32"; "int8", half of f16's memory
    reserve     takes all memory for n_ctx now
    when_full   "end": a reply ends, what is put in is refused; "slide": the first n_keep tokens (at most half of n_ctx)
                stay, the older half of the others is forgotten, and the rest is taken in anew

    One thread at a time uses a session, any thread (a second one gets BusyError); cancel, state, n_tokens, n_pending
    may be used from any thread at any time. Different sessions run in parallel: the interpreter's lock is free while
    the library computes.
    """

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int = 0,
        state_type: str = "f16",
        reserve: bool = False,
        when_full: str = "end",
        n_keep: int = 0,
    ) -> None:
        desc = new(
            _abi.llm_session_desc,
            n_ctx=n_ctx,
            state_type=one_of("state_type", state_type, STATE_TYPES),
            flags=_abi.LLM_SESSION_RESERVE if reserve else 0,
            when_full=one_of("when_full", when_full, {"end": _abi.LLM_FULL_END, "slide": _abi.LLM_FULL_SLIDE}),
            n_keep=n_keep,
        )
        self._begin_life(model)
        with model._handle as pointer:
            check("llm_session_create", pointer, ctypes.byref(desc), ctypes.byref(self._handle.pointer))

    def _begin_life(self, model: Model) -> None:
        self.model = model
        self._handle = Handle(_abi.llm_session, "llm_session_free", "session", model._handle.keeps)
        self._borrowed = Borrowed()
        self._on_logits: Callbacks | None = None
        self._on_score: Callbacks | None = None
        self._on_logits_function: Any = None  # C calls these
        self._on_score_function: Any = None
        self._reply = 0  # counts replies and put-ins, so that an old Reply notices

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Gives the session up; a call in progress on another thread is cancelled. Arrays borrowed from it stay good:
        the memory goes with the last of them. Twice does no harm."""
        if not self._handle.closed and self._handle.in_use:
            self.cancel()
        self._handle.close()

    def _change(self) -> Handle:
        """The handle, for a call that changes the session."""
        self._borrowed.check()
        return self._handle

    # ---- put in: nothing is computed, and on failure the timeline is as it was

    def append(self, prompt: Prompt, *, score: bool = False, parse_special: bool = False, bos: bool = True) -> None:
        """Adds text or tokens to the end; they are pending until steps have taken them in.

        score: keep each token's log-probability, see scores(). parse_special: "<|im_end|>" in text becomes that
        control token; never for text that you do not trust. bos=False: no BOS at the beginning of an empty timeline.
        Raises ContextFullError, StateError (the session failed), BusyError.
        """
        flags = _abi.LLM_APPEND_SCORE if score else 0
        if isinstance(prompt, (str, bytes, bytearray)):
            data = encoded(prompt)
            flags |= (_abi.LLM_APPEND_PARSE_SPECIAL if parse_special else 0) | (0 if bos else _abi.LLM_APPEND_NO_BOS)
            with self._change() as s:
                check("llm_session_append_text", s, data, len(data), flags)
        else:
            tokens = token_array(prompt)
            with self._change() as s:
                check("llm_session_append", s, tokens, len(tokens), flags)
        self._reply += 1

    def sync(self, tokens: Iterable[int], *, score: bool = False) -> None:
        """Makes the timeline these tokens; what it already has of them, from the beginning on, is kept. Mends a
        failed session. Raises ContextFullError, BusyError."""
        array = token_array(tokens)
        with self._change() as s:
            check("llm_session_sync", s, array, len(array), _abi.LLM_APPEND_SCORE if score else 0)
        self._reply += 1

    def sync_chat(self, chat: Chat, *, prompt: bool = True) -> None:
        """Makes the timeline what a chat says, and keeps what it already has of it. prompt=False: without the
        beginning of a reply. Raises as Chat.render; ContextFullError; InvalidError (a chat of another model)."""
        with self._change() as s, chat._handle as c:
            check("llm_session_sync_chat", s, c, 0 if prompt else _abi.LLM_CHAT_NO_PROMPT)
        self._reply += 1

    def rewind(self, n_tokens: int) -> None:
        """Keeps the first n tokens. Mends a failed session. The last token is pending again, so the next step brings
        its logits."""
        if n_tokens < 0:
            raise ValueError("n_tokens is not negative")
        with self._change() as s:
            check("llm_session_rewind", s, n_tokens)
        self._reply += 1

    def park(self) -> None:
        """Drops what the model remembers and keeps the tokens, a few bytes each: for sessions that wait. All are pending
        then; the next steps take them in anew and come to the same bits. Raises BusyError."""
        with self._change() as s:
            check("llm_session_park", s)

    def fork(self) -> Session:
        """A second session with the same timeline; memory is shared until one of them writes. The fork does not
        generate."""
        made = Session.__new__(Session)
        made._begin_life(self.model)
        with self._handle as s:
            check("llm_session_fork", s, ctypes.byref(made._handle.pointer))
        return made

    # ---- saved

    def save(self, target: Target, *, state: bool = True, note: bytes = b"") -> None:
        """Writes the timeline to a path, where it is there whole or not at all, or to a file opened for writing bytes.

        state: with what the model remembers of it; without, the file is small, and the tokens are taken in anew. note:
        bytes of yours that go along, at most 16 MiB (saved_note). Not the reply in progress: its tokens alone. Raises
        FileError, NotFoundError (no such folder), DeviceLostError, LimitError, BusyError.
        """
        job = Job(None)
        sink = OpenSink(target, job.callbacks)
        kept = ctypes.create_string_buffer(note, len(note)) if note else None
        desc = new(_abi.llm_save_desc, flags=0 if state else _abi.LLM_SAVE_TOKENS_ONLY, note_len=len(note))
        desc.note = ctypes.addressof(kept) if kept is not None else None
        with self._handle as s:
            job.run("llm_session_save_to", s, ctypes.byref(sink.struct), ctypes.byref(desc))

    def restore(self, source: Source, *, need_state: bool = False, other_model: bool = False) -> None:
        """Makes the timeline what was saved: from a path, bytes, or a file opened for reading bytes. On failure nothing
        has changed.

        Where the state cannot be used (another state type) all tokens are pending, and the next steps take them in
        anew; need_state: UnsupportedError instead. other_model: takes the tokens of another model with the same
        vocabulary too. Raises FileError, NotFoundError, FormatError, VersionError, MismatchError (another model),
        ContextFullError, BusyError.
        """
        job = Job(None)
        sources = OpenSources(source, job.callbacks)
        flags = (_abi.LLM_RESTORE_NEED_STATE if need_state else 0) | (
            _abi.LLM_RESTORE_OTHER_MODEL if other_model else 0
        )
        with self._change() as s:
            job.run("llm_session_restore_from", s, sources.array[0], flags)
        self._reply += 1

    # ---- replies

    def begin(self, **options: Unpack[GenerateOptions]) -> None:
        """From here on, whenever nothing is pending, a step draws a token: for programs that step by themselves. See
        GenerateOptions. Raises StateError (an empty timeline; a failed session), BusyError, TypeError for an option
        that is not known."""
        given: dict[str, Any] = {**options}
        recipe: Any = {name: given.pop(name) for name in list(given) if name in SamplerOptions.__annotations__}
        sampler: Sampler | None = given.pop("sampler", None)
        if recipe and sampler is not None:
            raise TypeError(f"{next(iter(recipe))!r} is a part of the recipe: it is given to Sampler, not beside one")
        if recipe:
            sampler = Sampler(self.model, **recipe)
        flags = (
            (_abi.LLM_GENERATE_IGNORE_END if given.pop("ignore_end", False) else 0)
            | (_abi.LLM_GENERATE_SCORE if given.pop("score", False) else 0)
            | (_abi.LLM_GENERATE_SHOW_SPECIAL if given.pop("show_special", False) else 0)
            | (_abi.LLM_GENERATE_CONTINUE if given.pop("continue_", False) else 0)
        )
        desc = new(
            _abi.llm_generate_desc, flags=flags, seed=given.pop("seed", 0), max_tokens=given.pop("max_tokens", 0)
        )
        stops = strings(given.pop("stop", ()))
        desc.stops, desc.n_stops = stops, len(stops)
        stop_tokens = token_array(given.pop("stop_tokens", ()))
        desc.stop_tokens, desc.n_stop_tokens = stop_tokens, len(stop_tokens)
        hook = given.pop("on_logits", None)
        if given:
            raise TypeError(
                f"generate has no {next(iter(given))!r}; it has {', '.join(GenerateOptions.__annotations__)}"
            )
        callbacks, function = None, None
        if hook is not None:
            callbacks = Callbacks(_canceller(self))
            desc.on_logits = function = callbacks.wrap(_abi.llm_generate_desc_on_logits, _logits_hook(hook))
        with self._change() as s:
            if sampler is None:
                check("llm_session_generate", s, ctypes.byref(desc))
            else:
                with sampler._handle as pointer:
                    desc.sampler = pointer
                    check("llm_session_generate", s, ctypes.byref(desc))
        self._on_logits, self._on_logits_function = callbacks, function
        self._reply += 1

    def generate(
        self, prompt: Prompt | None = None, *, parse_special: bool = False, **options: Unpack[GenerateOptions]
    ) -> Reply:
        """Appends prompt, if there is one, and begins a reply: `for piece in session.generate("...", max_tokens=50):`.

        Pieces are text: whole characters. Ctrl-C cancels the reply within 50 ms, and the session stays usable at its
        last whole token. Raises what append and begin raise, at once; the loop raises what step raises.
        """
        from ._reply import Reply

        if prompt is not None:
            self.append(prompt, parse_special=parse_special)
        self.begin(**options)
        return Reply(self)

    def agenerate(
        self, prompt: Prompt | None = None, *, parse_special: bool = False, **options: Unpack[GenerateOptions]
    ) -> AsyncReply:
        """The same for `async for`: steps run on worker threads, and cancelling the task cancels the reply."""
        from ._reply import AsyncReply

        if prompt is not None:
            self.append(prompt, parse_special=parse_special)
        self.begin(**options)
        return AsyncReply(self)

    # ---- step: what computes

    def step(self, seconds: float = SLICE, *, no_wait: bool = False) -> bool:
        """At most one pass over the weights, of at most so many seconds; True while work is left: call again. It may
        return early at any time. 0 or less only collects what a GPU has done. Raises NumericError, OutOfMemoryError,
        DeviceLostError, BusyError, and what on_logits raised."""
        return step([self], seconds, no_wait=no_wait)

    def run(self) -> State:
        """Steps until nothing is left: all is taken in, and a reply has come to its end. Ctrl-C cancels it. Returns
        the state."""
        try:
            while self.step():
                pass
        except BaseException:
            self._settle()
            raise
        return self.state

    async def arun(self) -> State:
        """run() on worker threads."""
        from ._reply import in_worker

        try:
            while await in_worker(self.step, self.cancel):
                pass
        except BaseException:
            self._settle()
            raise
        return self.state

    def cancel(self) -> None:
        """Ends the reply or the work in progress: within 10 ms on the CPU. From any thread, callback or signal
        handler. Holds until a step has reported it (State.END_CANCELLED) or the next reply begins."""
        if not self._handle.closed:
            with self._handle as s:
                call("llm_session_cancel", s)

    def _settle(self) -> None:
        """After an exception: what is in progress ends, the session stands at its last whole token and holds
        nothing."""
        with contextlib.suppress(Exception):  # the exception that brought us here says more
            if self.state is State.WORKING:
                self.cancel()
                with self._change() as s:
                    pointers = (ctypes.POINTER(_abi.llm_session) * 1)(s)
                    call("llm_session_step", pointers, 1, 0, 0, None)

    # ---- take out

    @property
    def state(self) -> State:
        """What it is doing. Anytime."""
        with self._handle as s:
            state = call("llm_session_state", s)
        return State(state) if state >= 0 else State.FAILED

    @property
    def failure(self) -> str | None:
        """The name of the status that stopped this session ("LLM_E_MEMORY"), or None. Anytime."""
        with self._handle as s:
            state = call("llm_session_state", s)
        return str(call("llm_status_name", state).decode()) if state < 0 else None

    @property
    def n_tokens(self) -> int:
        """Tokens of the timeline, pending ones included. Anytime."""
        with self._handle as s:
            return int(call("llm_session_n_tokens", s))

    @property
    def n_pending(self) -> int:
        """Those not yet taken in. Anytime."""
        with self._handle as s:
            return int(call("llm_session_n_pending", s))

    @property
    def tokens(self) -> list[int]:
        """The timeline, as a list of its own."""
        pointer, n = ctypes.POINTER(_abi.llm_token)(), ctypes.c_size_t()
        with self._handle as s:
            check("llm_session_tokens", s, ctypes.byref(pointer), ctypes.byref(n))
            return pointer[: n.value] if n.value else []

    def read_text(self) -> str:
        """What can be read of the reply now: whole characters; "" if there is nothing. What may become a stop text is
        kept back."""
        pieces: list[bytes] = []
        buffer = ctypes.create_string_buffer(4096)
        with self._handle as s:
            while True:
                n = call("llm_session_read_text", s, buffer, len(buffer))
                if n == 0:
                    return b"".join(pieces).decode("utf-8")
                pieces.append(buffer.raw[:n])

    def logits(self, *, copy: bool = False) -> Floats:
        """The logits after the last token that was taken in, [n_vocab] float32: a NumPy array, or a memoryview
        without NumPy.

        Without a copy it looks at the library's memory: read-only, and while it (or a slice of it) is in use,
        whatever would change the session raises BufferError. `del` it, or copy. Raises StateError while tokens are
        pending: run() first.
        """
        return self._floats("llm_session_logits", copy)

    def scores(self, *, copy: bool = False) -> Floats:
        """The log-probability of each token of the timeline, given those before it; NaN where none was asked for
        (append's and generate's `score`) or it is not there yet. Borrowed like logits."""
        return self._floats("llm_session_scores", copy)

    def _floats(self, name: str, copy: bool) -> Floats:
        pointer, n = ctypes.POINTER(ctypes.c_float)(), ctypes.c_size_t()
        with self._handle as s:
            check(name, s, ctypes.byref(pointer), ctypes.byref(n))
            if copy or not n.value:
                return copy_floats(pointer, n.value)
            array, ref = borrow_floats(pointer, n.value, self._handle)
        self._borrowed.add(ref)
        return array

    def best(self, n: int = 10) -> list[tuple[int, float]]:
        """The n likeliest next tokens with their log-probabilities, best first. Raises StateError while tokens are
        pending."""
        scores, count = (_abi.llm_token_score * max(n, 0))(), ctypes.c_size_t()
        with self._handle as s:
            check("llm_session_best", s, scores, len(scores), ctypes.byref(count))
        return [(score.token, score.log_prob) for score in scores[: count.value]]

    def watch_scores(self, on_score: Callable[[int, Any], Any] | None) -> None:
        """Has on_score(position, logits) called for each token whose log-probability was asked for, with the logits
        that it was taken from, in an array of ours that the next call writes over. Called on a thread that steps; the
        pass is held meanwhile. None: no more calls. If it raises, the work is cancelled and the step raises the
        same."""
        callbacks, function = None, _abi.llm_session_watch_scores_on_score()
        if on_score is not None:
            callbacks, scratch = Callbacks(_canceller(self)), Scratch()

            def watch(user: Any, position: int, logits: Any, n_vocab: int) -> None:
                on_score(position, scratch.array(logits, n_vocab))

            function = callbacks.wrap(_abi.llm_session_watch_scores_on_score, watch)
        with self._change() as s:
            check("llm_session_watch_scores", s, function, None)
        self._on_score, self._on_score_function = callbacks, function

    @property
    def info(self) -> SessionInfo:
        """Counts, times, memory."""
        info = new(_abi.llm_session_info)
        with self._handle as s:
            check("llm_session_get_info", s, ctypes.byref(info))
        types = {value: name for name, value in STATE_TYPES.items()}
        return SessionInfo(
            info.n_prompt,
            info.prompt_us,
            info.n_generated,
            info.generate_us,
            info.state_bytes,
            info.n_ctx,
            types.get(info.state_type, str(info.state_type)),
            info.n_slid,
        )


def _canceller(session: Session) -> Callable[[], None]:
    """Cancels a session without keeping it: a circle would wait for the garbage collector."""
    ref = weakref.ref(session)

    def cancel() -> None:
        known = ref()
        if known is not None:
            known.cancel()

    return cancel


def _logits_hook(hook: Callable[[Any], Any]) -> Callable[..., None]:
    scratch = Scratch()

    def called(user: Any, logits: Any, n_vocab: int) -> None:
        hook(scratch.array(logits, n_vocab))
        scratch.give_back(logits, n_vocab)

    return called


def step(sessions: Sequence[Session], seconds: float = SLICE, *, no_wait: bool = False) -> bool:
    """Advances sessions of one model together, by at most one pass over the weights and so many seconds; True while
    work is left. Sessions that ended are passed over; a failed one makes every step raise until it is taken out, or
    mended by rewind or sync."""
    budget = int(max(min(seconds * 1e6, 1e15), -1))
    error = _abi.llm_error()
    flags = _abi.LLM_STEP_NO_WAIT if no_wait else 0
    callbacks = [c for session in sessions for c in (session._on_logits, session._on_score) if c is not None]

    def stop() -> None:
        for session in sessions:
            session.cancel()

    with contextlib.ExitStack() as uses:
        handles = [uses.enter_context(session._change()) for session in sessions]
        pointers = (ctypes.POINTER(_abi.llm_session) * len(handles))(*handles)

        def advance() -> int:
            return int(call("llm_session_step", pointers, len(handles), budget, flags, ctypes.byref(error)))

        status = may_call_back(advance, stop) if callbacks else advance()
    for kept in callbacks:
        kept.raise_error()
    if status < 0:
        raise error_of(error)
    return status == _abi.LLM_MORE
