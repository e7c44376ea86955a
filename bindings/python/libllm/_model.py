# SPDX-License-Identifier: MIT
"""Model: a GGUF file made ready on a device."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _abi
from ._call import Handle, call, check, fetch_text, new, text_of
from ._engine import Engine, Job, Progress, model_desc
from ._errors import NotFoundError
from ._sources import OpenSink, OpenSources, Source, Sources, Target
from ._tokenizer import Text, Tokenizer

if TYPE_CHECKING:
    import os

    from typing_extensions import Unpack

    from ._reply import AsyncReply, Reply
    from ._session import GenerateOptions, Session


class ModelInfo(NamedTuple):
    architecture: str
    name: str
    n_params: int
    file_bytes: int
    weight_bytes: int  # all tensors as stored
    n_vocab: int
    n_ctx_train: int
    n_embd: int
    n_layers: int
    mapped_bytes: int  # of the pack in use; 0: none


class TensorInfo(NamedTuple):
    name: str
    type: str  # "Q4_0"
    dims: tuple[int, ...]  # the first is the contiguous one
    bytes: int


class SavedInfo(NamedTuple):
    n_tokens: int  # of the timeline
    n_evaluated: int  # of those, with their state in the file
    n_reply: int  # the last tokens, as many as the last reply has drawn
    n_ctx: int  # of the session that was saved
    same_model: bool  # as the one that was asked
    same_vocabulary: bool
    state: bool  # with state that this model can use
    note: bytes


class Model:
    """Loads a GGUF model.

    source      a path, bytes, or a file opened for reading bytes; of a split model the first path, or a list of all
                parts. All is read, nothing mapped: afterwards the file or the bytes may go. A file object's position
                is moved
    engine      None: an engine of its own with all defaults
    device      0: the CPU; else an id of Engine.devices
    n_device_layers     how many layers run on a GPU, the CPU runs those before; 0: as many as fit into its free memory;
                -1: all
    vocab_only  metadata and tokenizer, no weights
    pack        the path of its pack: laid-out weights that later loads map; made if it is not there. Read THE PACK in
                llm.h first
    pack_read_only, pack_verify     none is written; the one that is there is held against its checksums
    observe     sums up what write_importance writes
    progress    called with 0.0 to 1.0; to show it with tqdm: `with tqdm(total=1) as bar: Model(path, progress=lambda
                done: bar.update(done - bar.n))`. If it raises, the load is cancelled

    Ctrl-C cancels a load. Any number of threads may use a model. Sessions keep what they need of it: it may be closed
    at any time (but `temperature=0.8` and the like make a sampler, for which the model must be open). Raises
    NotFoundError, FileError, FormatError (subject: the key or tensor, offset: the byte), UnsupportedError, LimitError,
    NoDeviceError, OutOfMemoryError, and what a file object raised.
    """

    def __init__(
        self,
        source: Sources,
        *,
        engine: Engine | None = None,
        device: int = 0,
        n_device_layers: int = 0,
        vocab_only: bool = False,
        pack: str | os.PathLike[str] | None = None,
        pack_read_only: bool = False,
        pack_verify: bool = False,
        observe: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.engine = engine if engine is not None else Engine()
        flags = (
            (_abi.LLM_MODEL_OBSERVE if observe else 0)
            | (_abi.LLM_MODEL_PACK_READ_ONLY if pack_read_only else 0)
            | (_abi.LLM_MODEL_PACK_VERIFY if pack_verify else 0)
        )
        desc = model_desc(device, n_device_layers, vocab_only, pack, flags)
        job = Job(progress)
        desc.progress = job.callback(_abi.llm_model_desc_progress)
        sources = OpenSources(source, job.callbacks)
        self._handle = Handle(_abi.llm_model, "llm_model_free", "model", self.engine._handle.keeps)
        with self.engine._handle as pointer:
            if (
                sources.count == 1 and sources.structs[0].kind == _abi.LLM_SOURCE_PATH
            ):  # this one finds the parts of a split model
                path = sources.structs[0]
                job.run(
                    "llm_model_load",
                    pointer,
                    ctypes.string_at(path.path, path.path_len),
                    path.path_len,
                    ctypes.byref(desc),
                    ctypes.byref(self._handle.pointer),
                )
            else:
                job.run(
                    "llm_model_load_from",
                    pointer,
                    sources.array,
                    sources.count,
                    ctypes.byref(desc),
                    ctypes.byref(self._handle.pointer),
                )
        self._tokenizer: Tokenizer | None = None

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Gives the model up; it goes when its last session has gone. Twice does no harm."""
        self._handle.close()

    # ---- what it is

    @property
    def info(self) -> ModelInfo:
        """Its shape and sizes."""
        info = new(_abi.llm_model_info)
        with self._handle as model:
            check("llm_model_get_info", model, ctypes.byref(info))
            return ModelInfo(
                text_of(info.architecture, info.architecture_len),
                text_of(info.name, info.name_len),
                info.n_params,
                info.file_bytes,
                info.weight_bytes,
                info.n_vocab,
                info.n_ctx_train,
                info.n_embd,
                info.n_layers,
                info.mapped_bytes,
            )

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own. Raises ValueError if it has none."""
        with self._handle as model:
            if not call("llm_model_tokenizer", model):
                raise ValueError("this model has no tokenizer")
        if self._tokenizer is None:
            self._tokenizer = Tokenizer._borrow(self)
        return self._tokenizer

    @property
    def metadata(self) -> Metadata:
        """The file's keys and values, as a mapping; values are read when they are asked for."""
        return Metadata(self._handle)

    @property
    def tensors(self) -> list[TensorInfo]:
        """The file's tensors, in its order."""
        found = []
        with self._handle as model:
            for index in range(call("llm_model_tensor_count", model)):
                info = new(_abi.llm_tensor_info)
                check("llm_model_tensor_at", model, index, ctypes.byref(info))
                found.append(
                    TensorInfo(
                        text_of(info.name, info.name_len),
                        text_of(info.type, info.type_len),
                        tuple(info.dims[: info.n_dims]),
                        info.bytes,
                    )
                )
        return found

    @property
    def plan(self) -> str:
        """What runs where: text for people, bug reports and comparison."""
        with self._handle as model:
            return fetch_text("llm_model_plan", model, cap=1 << 16)

    def write_importance(
        self, target: Target, *, dataset: Text = "", n_chunks: int = 0, chunk_tokens: int = 0, output: bool = False
    ) -> None:
        """Writes the importance matrix of a model that was loaded with observe=True, for Engine.quantize. Raises
        StateError."""
        from ._call import text_field
        from ._tokenizer import encoded

        job = Job(None)
        sink = OpenSink(target, job.callbacks)
        name = encoded(dataset)
        desc = new(
            _abi.llm_importance_desc,
            flags=_abi.LLM_IMPORTANCE_OUTPUT if output else 0,
            dataset=text_field(name),
            dataset_len=len(name),
            n_chunks=n_chunks,
            chunk_tokens=chunk_tokens,
        )
        with self._handle as model:
            job.run("llm_model_write_importance", model, ctypes.byref(sink.struct), ctypes.byref(desc))

    # ---- saved sessions

    def saved(self, source: Source) -> SavedInfo:
        """What a saved session is, by its first bytes: a path, bytes, or a file opened for reading bytes. Raises
        FileError, NotFoundError, FormatError, VersionError."""
        job = Job(None)
        sources = OpenSources(source, job.callbacks)
        info = new(_abi.llm_saved_info)
        with self._handle as m:
            job.run("llm_saved_get_info", m, sources.array[0], ctypes.byref(info))
        return SavedInfo(
            info.n_tokens,
            info.n_evaluated,
            info.n_reply,
            info.n_ctx,
            bool(info.flags & _abi.LLM_SAVED_SAME_MODEL),
            bool(info.flags & _abi.LLM_SAVED_SAME_VOCABULARY),
            bool(info.flags & _abi.LLM_SAVED_STATE),
            self._note(sources, job, info.note_len),
        )

    def _note(self, sources: OpenSources, job: Job, length: int) -> bytes:
        note, n = ctypes.create_string_buffer(max(length, 1)), ctypes.c_size_t()
        with self._handle as m:
            job.run("llm_saved_note", m, sources.array[0], note, length, ctypes.byref(n))
        return note.raw[: n.value]

    # ---- what it does

    def session(
        self,
        *,
        n_ctx: int = 0,
        state_type: str = "f16",
        reserve: bool = False,
        when_full: str = "end",
        n_keep: int = 0,
    ) -> Session:
        """Session(self, ...)."""
        from ._session import Session

        return Session(self, n_ctx=n_ctx, state_type=state_type, reserve=reserve, when_full=when_full, n_keep=n_keep)

    def generate(
        self,
        prompt: Text | Iterable[int],
        *,
        n_ctx: int = 0,
        parse_special: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Reply:
        """Continues a text: `for piece in model.generate("Once upon a time", max_tokens=100, temperature=0.8,
        seed=1):`.

        A session of its own does it, which goes when the reply does. The options are those of Session.generate.
        """
        from ._reply import Reply

        session = self.session(n_ctx=n_ctx)
        session.append(prompt, parse_special=parse_special)
        session.begin(**options)
        return Reply(session, owned=True)

    def agenerate(
        self,
        prompt: Text | Iterable[int],
        *,
        n_ctx: int = 0,
        parse_special: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> AsyncReply:
        """The same for `async for`: steps run on worker threads, the event loop stays free, and cancelling the task
        cancels the reply."""
        from ._reply import AsyncReply

        session = self.session(n_ctx=n_ctx)
        session.append(prompt, parse_special=parse_special)
        session.begin(**options)
        return AsyncReply(session, owned=True)


class Metadata(Mapping[str, Any]):
    """Keys and values of a GGUF file: int, float, bool, str, or a list of them. Closed when the model is."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._index: dict[str, int] | None = None

    def _keys(self, model: Any) -> dict[str, int]:
        if self._index is None:
            index = {}
            for number in range(call("llm_model_meta_count", model)):
                meta = new(_abi.llm_meta)
                check("llm_model_meta_at", model, number, ctypes.byref(meta))
                index[text_of(meta.key, meta.key_len)] = number
            self._index = index
        return self._index

    def __getitem__(self, key: str) -> Any:
        name = key.encode("utf-8")
        meta = new(_abi.llm_meta)
        with self._handle as model:
            try:
                check("llm_model_meta_find", model, name, len(name), ctypes.byref(meta))
            except NotFoundError:
                raise KeyError(key) from None
            if meta.type != _abi.LLM_META_ARRAY:
                return _value(meta)
            number = self._keys(model)[key]
            items = []
            for item in range(meta.n_items):
                check("llm_model_meta_item", model, number, item, ctypes.byref(meta))
                items.append(_value(meta))
            return items

    def __iter__(self) -> Iterator[str]:
        with self._handle as model:
            return iter(list(self._keys(model)))

    def __len__(self) -> int:
        with self._handle as model:
            return int(call("llm_model_meta_count", model))


def _value(meta: _abi.llm_meta) -> Any:
    kind = meta.item_type if meta.type == _abi.LLM_META_ARRAY else meta.type
    if kind == _abi.LLM_META_STRING:
        return text_of(meta.string, meta.string_len)
    if kind == _abi.LLM_META_FLOAT:
        return meta.number
    if kind == _abi.LLM_META_BOOL:
        return bool(meta.integer)
    return meta.integer & 0xFFFFFFFFFFFFFFFF if kind == _abi.LLM_META_UINT else meta.integer
