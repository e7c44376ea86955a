# SPDX-License-Identifier: MIT
"""libllm: run a large language model inside your program.

    import libllm

    model = libllm.Model("model.gguf")
    for piece in model.generate("Once upon a time", max_tokens=100, temperature=0.8, seed=1):
        print(piece, end="", flush=True)

An Engine is the machine, a Model a GGUF file made ready, a Session one timeline of tokens: put in (append, generate),
step, take out. All of them may be closed in any order, or left to the garbage collector. Failures are exceptions of
LLMError. The C header llm.h is the manual behind this package; libllm._abi has all of it under its own names.
"""

from __future__ import annotations

from . import _abi
from ._call import call as _call
from ._chat import Chat, ChatEvent, ChatInfo
from ._engine import Device, Engine, EngineInfo, Estimate, Quantized
from ._errors import (
    BusyError,
    CancelledError,
    ContextFullError,
    DeviceLostError,
    FileError,
    FormatError,
    InternalError,
    InvalidError,
    LimitError,
    LLMError,
    MismatchError,
    NoDeviceError,
    NotFoundError,
    NumericError,
    OutOfMemoryError,
    StateError,
    UnsupportedError,
    VersionError,
)
from ._library import load_library
from ._model import Metadata, Model, ModelInfo, SavedInfo, TensorInfo
from ._reply import AsyncReply, Reply
from ._sampler import Grammar, Sampler, SamplerOptions
from ._session import GenerateOptions, Session, SessionInfo, State, step
from ._tokenizer import TokenInfo, Tokenizer

__version__ = "0.1.0"

__all__ = [
    "AsyncReply",
    "BusyError",
    "CancelledError",
    "Chat",
    "ChatEvent",
    "ChatInfo",
    "ContextFullError",
    "Device",
    "DeviceLostError",
    "Engine",
    "EngineInfo",
    "Estimate",
    "FileError",
    "FormatError",
    "GenerateOptions",
    "Grammar",
    "InternalError",
    "InvalidError",
    "LLMError",
    "MismatchError",
    "LimitError",
    "Metadata",
    "Model",
    "ModelInfo",
    "NoDeviceError",
    "NotFoundError",
    "NumericError",
    "OutOfMemoryError",
    "Quantized",
    "Reply",
    "Sampler",
    "SamplerOptions",
    "SavedInfo",
    "Session",
    "SessionInfo",
    "State",
    "StateError",
    "TensorInfo",
    "TokenInfo",
    "Tokenizer",
    "UnsupportedError",
    "VersionError",
    "has",
    "library_version",
    "load_library",
    "step",
]


def library_version() -> tuple[int, int]:
    """The shared library's own version: (major, minor)."""
    version = _call("llm_version")
    return version >> 16, version & 0xFFFF


def has(feature: str) -> bool:
    """Whether this build of the library has "cpu", "vulkan", "state_int8", "pack", "chat" ... Names it does not know
    are False."""
    number = getattr(_abi, "LLM_FEATURE_" + feature.upper(), 0)
    return bool(_call("llm_has", number))
