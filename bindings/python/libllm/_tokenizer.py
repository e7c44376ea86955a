# SPDX-License-Identifier: MIT
"""Tokenizer: text to ids and back; a model's own, or one loaded alone."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from . import _abi
from ._call import Handle, call, check, fetch, new
from ._engine import Engine, Job
from ._sources import OpenSources, Source

if TYPE_CHECKING:
    from ._model import Model

Text = Union[str, bytes]

SPECIALS = {
    name[len("LLM_SPECIAL_") :].lower(): value for name, value in vars(_abi).items() if name.startswith("LLM_SPECIAL_")
}
_KINDS = {
    _abi.LLM_TOKEN_NORMAL: "normal",
    _abi.LLM_TOKEN_UNKNOWN: "unknown",
    _abi.LLM_TOKEN_CONTROL: "control",
    _abi.LLM_TOKEN_USER: "user",
    _abi.LLM_TOKEN_UNUSED: "unused",
    _abi.LLM_TOKEN_BYTE: "byte",
}


class TokenInfo(NamedTuple):
    text: bytes  # what it stands for; may be half a character
    kind: str  # "normal", "unknown", "control", "user", "unused", "byte"
    ends: bool  # a reply ends here


def encoded(text: Text | bytearray) -> bytes:
    """Text as the library takes it."""
    if isinstance(text, str):
        return text.encode("utf-8")
    if isinstance(text, (bytes, bytearray)):
        return bytes(text)
    raise TypeError(f"text is str or bytes, not {type(text).__name__}")


def token_array(tokens: Iterable[int]) -> Any:
    """Ids as the library takes them: any iterable of ints, or a NumPy array of them."""
    listed = tokens.tolist() if hasattr(tokens, "tolist") else list(tokens)
    for token in listed:
        if not isinstance(token, int) or not -0x80000000 <= token <= 0x7FFFFFFF:
            raise TypeError(f"a token is an int of 32 bits, not {token!r}")
    return (_abi.llm_token * len(listed))(*listed)


def fetch_tokens(name: str, *arguments: Any, cap: int) -> list[int]:
    """Calls f(..., tokens, cap, &n)."""
    tokens: list[int] = fetch(_abi.llm_token, name, *arguments, cap=cap)
    return tokens


class Tokenizer:
    """A tokenizer alone, from a GGUF file with a vocabulary: a path, bytes, or a file opened for reading bytes.

    Model.tokenizer is the model's own; it is closed when the model is. Any number of threads.
    Raises NotFoundError, FileError, FormatError, UnsupportedError, LimitError.
    """

    def __init__(self, source: Source, *, engine: Engine | None = None) -> None:
        engine = engine if engine is not None else Engine(n_threads=1)
        self._handle = Handle(_abi.llm_tokenizer, "llm_tokenizer_free", "tokenizer", engine._handle.keeps)
        self._of_model = False
        job = Job(None)
        sources = OpenSources(source, job.callbacks)
        with engine._handle as pointer:
            job.run("llm_tokenizer_load", pointer, sources.array[0], ctypes.byref(self._handle.pointer))

    @classmethod
    def _borrow(cls, model: Model) -> Tokenizer:
        made = cls.__new__(cls)
        made._handle = model._handle
        made._of_model = True
        return made

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        with self._handle as pointer:
            yield call("llm_model_tokenizer", pointer) if self._of_model else pointer

    def __enter__(self) -> Tokenizer:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Gives the tokenizer up. A model's own stays: it is the model's."""
        if not self._of_model:
            self._handle.close()

    @property
    def n_vocab(self) -> int:
        """How many tokens there are; ids run from 0 to one less."""
        with self._open() as t:
            return int(call("llm_tokenizer_n_vocab", t))

    def __len__(self) -> int:
        return self.n_vocab

    def encode(
        self, text: Text, *, add_special: bool = False, parse_special: bool = False, continues: bool = False
    ) -> list[int]:
        """Text to ids.

        add_special: BOS and EOS as the model wants them. parse_special: "<|im_end|>" becomes that control token;
        never for text that you do not trust. continues: the text goes on after other text.
        """
        data = encoded(text)
        flags = (
            (_abi.LLM_ENCODE_ADD_SPECIAL if add_special else 0)
            | (_abi.LLM_ENCODE_PARSE_SPECIAL if parse_special else 0)
            | (_abi.LLM_ENCODE_CONTINUES if continues else 0)
        )
        with self._open() as t:
            return fetch_tokens("llm_tokenizer_encode", t, data, len(data), flags, cap=len(data) + 3)

    def decode_bytes(self, tokens: Iterable[int], *, show_special: bool = False, clean_spaces: bool = False) -> bytes:
        """Ids to bytes, which may end in the middle of a character. show_special: control tokens as their text
        instead of nothing."""
        array = token_array(tokens)
        flags = (_abi.LLM_DECODE_SHOW_SPECIAL if show_special else 0) | (
            _abi.LLM_DECODE_CLEAN_SPACES if clean_spaces else 0
        )
        with self._open() as t:
            text: bytes = fetch(
                ctypes.c_char, "llm_tokenizer_decode", t, array, len(array), flags, cap=16 * len(array) + 64
            )
        return text

    def decode(self, tokens: Iterable[int], *, show_special: bool = False, clean_spaces: bool = False) -> str:
        """Ids to text; what is no UTF-8 becomes U+FFFD."""
        return self.decode_bytes(tokens, show_special=show_special, clean_spaces=clean_spaces).decode(
            "utf-8", "replace"
        )

    def special(self, which: str) -> int | None:
        """The id of "bos", "eos", "eot", "eom", "unk", "pad", "newline", "fim_prefix" ..., or None if the vocabulary
        has none."""
        if which not in SPECIALS:
            raise ValueError(f"which is one of {', '.join(map(repr, SPECIALS))}, not {which!r}")
        with self._open() as t:
            token = call("llm_tokenizer_special", t, SPECIALS[which])
        return None if token == _abi.LLM_TOKEN_NONE else token

    def token(self, token: int) -> TokenInfo:
        """What a token is. Raises InvalidError for an id outside the vocabulary."""
        info = new(_abi.llm_token_info)
        with self._open() as t:
            check("llm_tokenizer_token", t, token, ctypes.byref(info))
            text = ctypes.string_at(info.bytes, info.n_bytes) if info.n_bytes else b""
        return TokenInfo(text, _KINDS.get(info.kind, str(info.kind)), bool(info.flags & _abi.LLM_TOKEN_ENDS))
