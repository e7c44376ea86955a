# SPDX-License-Identifier: MIT
"""Sampler: an immutable recipe, used by any number of sessions at once; what it remembers lives in each session."""

from __future__ import annotations

import contextlib
import ctypes
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from . import _abi
from ._call import Handle, check, new, text_field
from ._tokenizer import Text, Tokenizer, encoded

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._model import Model

STAGES = {
    name[len("LLM_STAGE_") :].lower(): value for name, value in vars(_abi).items() if name.startswith("LLM_STAGE_")
}


class SamplerOptions(TypedDict, total=False):
    """A recipe. What is left out, or 0, is off; nothing at all is greedy: the likeliest token."""

    temperature: float  # 0: greedy
    top_k: int  # keep the k likeliest
    top_p: float  # keep the shortest likeliest prefix of this mass
    min_p: float  # keep p >= min_p * the likeliest's
    min_keep: int  # top_p, min_p, typical_p and XTC keep at least so many; 0: 1
    penalty_last_n: int  # tokens the penalties look back at, prompt included; 0: 64; -1: all
    repeat_penalty: float  # divides positive logits, multiplies negative ones; 1 is off too
    frequency_penalty: float  # subtracted per occurrence
    presence_penalty: float  # subtracted once
    biases: Mapping[int, float]  # token: what is added to its logit first; -inf bans it
    dynatemp_range: float  # temperature - range to temperature + range, by how even the candidates are
    dynatemp_exponent: float  # 0: 1
    typical_p: float  # keep those whose surprise is nearest to the entropy; 1 is off too
    top_n_sigma: float  # keep logits >= max - n standard deviations
    xtc_probability: float  # exclude top choices, this often
    xtc_threshold: float  # 0: 0.1; more than 0.5 is off
    dry_multiplier: float  # against repetitions: multiplier * base ** (n - allowed_length) is subtracted
    dry_base: float  # 0: 1.75
    dry_allowed_length: int  # 0: 2
    dry_last_n: int  # tokens looked back at; 0 or -1: all
    dry_breakers: Iterable[Text]  # repetitions end at these texts; left out: "\n", ":", '"', "*"
    mirostat: int  # 1 or 2
    mirostat_tau: float  # 0: 5
    mirostat_eta: float  # 0: 0.1
    adaptive_target: float  # adaptive-p: the probability that drawn tokens shall have
    adaptive_decay: float  # 0: 0.9
    grammar: Grammar | None  # the reply is a text of it
    # Names of stages: "penalties", "dry", "top_n_sigma", "top_k", "typical", "top_p", "min_p", "xtc", "temperature".
    order: Iterable[str]


class Grammar:
    """What replies may be: a text of a JSON schema, a regular expression, or llama.cpp's GBNF. For samplers of models with
    this vocabulary.

    json_schema   text, or what json.dumps makes one of: a dict, True
    compact       JSON without white space

    Raises FormatError, UnsupportedError (a keyword that is not known here: it is named), LimitError, InvalidError (no
    text satisfies it). Any number of threads.
    """

    def __init__(
        self,
        vocabulary: Tokenizer | Model,
        *,
        json_schema: Any = None,
        regex: Text | None = None,
        gbnf: Text | None = None,
        compact: bool = False,
    ) -> None:
        if json_schema is not None and not isinstance(json_schema, (str, bytes)):
            json_schema = json.dumps(json_schema)
        kinds = {
            _abi.LLM_GRAMMAR_JSON_SCHEMA: json_schema,
            _abi.LLM_GRAMMAR_REGEX: regex,
            _abi.LLM_GRAMMAR_GBNF: gbnf,
        }
        given = [(kind, text) for kind, text in kinds.items() if text is not None]
        if len(given) != 1:
            raise TypeError("a grammar is one of json_schema, regex and gbnf")
        kind, text = given[0][0], encoded(given[0][1])
        tokenizer = vocabulary if isinstance(vocabulary, Tokenizer) else vocabulary.tokenizer
        self._handle = Handle(_abi.llm_grammar, "llm_grammar_free", "grammar", tokenizer._handle.keeps)
        flags = _abi.LLM_GRAMMAR_COMPACT if compact else 0
        with tokenizer._open() as t:
            check("llm_grammar_create", t, kind, flags, text, len(text), ctypes.byref(self._handle.pointer))

    def __enter__(self) -> Grammar:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Gives the grammar up; samplers keep what they need."""
        self._handle.close()


class Sampler:
    """A recipe for sessions of models with this vocabulary.

    Raises InvalidError or LimitError, naming the field. Any number of threads. Replies in progress keep the recipe:
    it may be closed at any time.
    """

    def __init__(self, vocabulary: Tokenizer | Model, **recipe: Unpack[SamplerOptions]) -> None:
        tokenizer = vocabulary if isinstance(vocabulary, Tokenizer) else vocabulary.tokenizer
        desc = _sampler_desc(recipe)
        grammar = recipe.get("grammar")
        self._handle = Handle(_abi.llm_sampler, "llm_sampler_free", "sampler", tokenizer._handle.keeps)
        with tokenizer._open() as t, contextlib.ExitStack() as held:
            if grammar is not None:
                desc.grammar = held.enter_context(grammar._handle)
            check("llm_sampler_create", t, ctypes.byref(desc), ctypes.byref(self._handle.pointer))

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Gives the sampler up."""
        self._handle.close()


def strings(texts: Text | Iterable[Text]) -> Any:
    """An array of llm_str, which keeps the texts alive."""
    if isinstance(texts, (str, bytes)):
        texts = [texts]
    made = [encoded(text) for text in texts]
    array = (_abi.llm_str * len(made))()
    for item, text in zip(array, made):
        item.ptr, item.len = text_field(text), len(text)
    return array


def _sampler_desc(recipe: Mapping[str, Any]) -> _abi.llm_sampler_desc:
    desc = new(_abi.llm_sampler_desc)
    for name, value in recipe.items():
        if name not in SamplerOptions.__annotations__:
            raise TypeError(f"a sampler has no {name!r}; it has {', '.join(SamplerOptions.__annotations__)}")
        array: Any
        if name == "grammar":
            continue
        if name == "biases":
            array = (_abi.llm_token_bias * len(value))(*(_abi.llm_token_bias(*item) for item in value.items()))
            desc.biases, desc.n_biases = array, len(array)
        elif name == "dry_breakers":
            array = strings(value)
            desc.dry_breakers, desc.n_dry_breakers = array, len(array)
        elif name == "order":
            value = list(value)
            unknown = [stage for stage in value if stage not in STAGES]
            if unknown:
                raise ValueError(f"order has names of {', '.join(map(repr, STAGES))}, not {unknown[0]!r}")
            array = (ctypes.c_uint8 * len(value))(*(STAGES[stage] for stage in value))
            desc.order, desc.n_order = array, len(array)
        else:
            setattr(desc, name, value)
    return desc
