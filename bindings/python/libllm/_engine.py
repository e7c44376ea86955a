# SPDX-License-Identifier: MIT
"""Engine: the machine. Threads, memory, devices; what is made with it keeps what it needs, so that all may be closed
in any order."""

from __future__ import annotations

import ctypes
import os
import queue
import sys
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from . import _abi
from ._call import Callbacks, Handle, call, check, fetch, fetch_text, new, on_helper_thread, text_field, text_of
from ._sources import OpenSink, OpenSources, Source, Sources, Target

if TYPE_CHECKING:
    from ._model import Model
    from ._tokenizer import Tokenizer

Progress = Callable[[float], Any]
"""Gets what part is done, 0 to 1, on the thread that made the call. If it raises, the call is cancelled and raises
the same."""

CPU_TIERS = {
    "best": 0,
    "reference": _abi.LLM_CPU_REFERENCE,
    "avx2": _abi.LLM_CPU_AVX2,
    "avx512": _abi.LLM_CPU_AVX512,
    "neon": _abi.LLM_CPU_NEON,
    "neon_i8mm": _abi.LLM_CPU_NEON_I8MM,
    "amx": _abi.LLM_CPU_AMX,
}
STATE_TYPES = {"f16": _abi.LLM_STATE_TYPE_F16, "f32": _abi.LLM_STATE_TYPE_F32, "int8": _abi.LLM_STATE_TYPE_INT8}
FILE_TYPES = {name[len("LLM_FILE_") :]: value for name, value in vars(_abi).items() if name.startswith("LLM_FILE_")}
DEVICE_KINDS = {
    _abi.LLM_DEVICE_KIND_CPU: "cpu",
    _abi.LLM_DEVICE_KIND_INTEGRATED: "integrated",
    _abi.LLM_DEVICE_KIND_DISCRETE: "discrete",
    _abi.LLM_DEVICE_KIND_SOFTWARE: "software",
}


class EngineInfo(NamedTuple):
    n_threads: int
    n_arenas: int
    n_chunk: int
    cpu_tier: str
    memory_used: int  # bytes held now
    memory_peak: int  # and the most so far


class Device(NamedTuple):
    device: int  # the id to pass on
    kind: str  # "cpu", "integrated", "discrete", "software"
    name: str
    memory_total: int  # bytes; 0: unknown
    memory_free: int


class Estimate(NamedTuple):
    """Bytes; see llm_estimate_info in llm.h."""

    total_bytes: int
    weight_bytes: int
    model_bytes: int
    arena_bytes: int
    session_bytes: int
    mapped_bytes: int
    device_bytes: int


class Quantized(NamedTuple):
    n_tensors: int
    n_quantized: int
    n_fallback: int
    n_weighted: int
    bytes_in: int
    bytes_out: int


def one_of(name: str, value: Any, table: dict[str, int]) -> int:
    """A number of llm.h by its short name."""
    try:
        return table[value]
    except (KeyError, TypeError):
        raise ValueError(f"{name} is one of {', '.join(map(repr, table))}, not {value!r}") from None


class Job:
    """A long call that says how far it is: on a thread of its own, with progress and Ctrl-C on the caller's."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._kept: Any = None
        self.callbacks = Callbacks()

    def callback(self, kind: Any) -> Any:
        """For the descriptor's `progress`."""

        def tell(user: Any, fraction: float) -> int:
            self._news.put(fraction)
            return 0

        self._kept = self.callbacks.wrap(kind, tell, 1)
        return self._kept

    def stop(self) -> None:
        self.callbacks.stopped = True

    def run(self, name: str, *arguments: Any) -> None:
        try:
            on_helper_thread(lambda: check(name, *arguments), self.stop, self._progress, self._news)
        except Exception as error:
            if self.callbacks.error is not None:
                raise self.callbacks.error from error
            raise
        finally:
            self._kept = None  # no circle: what the sources hold is let go at once


class Engine:
    """Opens an engine.

    n_threads     0: one per performance core; 1: the calling thread alone, none is made
    n_arenas      passes that may be in progress at once; 0: 4
    n_chunk       most tokens that a pass takes in; 0: 512
    cpu_tier      the best kernels that may be used: "best" (all but AMX), "reference", "avx2", "avx512", "amx",
                  "neon", "neon_i8mm"
    memory_limit  bytes that the engine's objects may hold together; 0: no limit
    gpus          looks for GPUs through Vulkan; otherwise no driver is touched
    submit_ms     how long one piece of work of a GPU is meant to last at most; 0: 100
    gpu_memory_limit    bytes of a GPU's memory that may be held at a time; 0: what the driver gives
    gpu_low_priority    other work of the GPU goes first, where the driver knows priorities
    log           gets (level, text), level as in `logging` (logging.WARNING ...); called on threads that use the
                  library, and may use nothing of it; log_level: the most talkative level wanted

    Engines may be used by any number of threads. A `with` block closes it; what was made with it lives on.
    """

    def __init__(
        self,
        *,
        n_threads: int = 0,
        n_arenas: int = 0,
        n_chunk: int = 0,
        cpu_tier: str = "best",
        memory_limit: int = 0,
        gpus: bool = False,
        submit_ms: int = 0,
        gpu_memory_limit: int = 0,
        gpu_low_priority: bool = False,
        log: Callable[[int, str], Any] | None = None,
        log_level: int = 30,
    ) -> None:
        desc = new(
            _abi.llm_engine_desc,
            n_threads=n_threads,
            n_arenas=n_arenas,
            n_chunk=n_chunk,
            memory_limit=memory_limit,
            cpu_tier=one_of("cpu_tier", cpu_tier, CPU_TIERS),
            flags=_abi.LLM_ENGINE_GPUS if gpus else 0,
        )
        if gpus:
            vulkan = new(_abi.llm_vulkan, submit_ms=submit_ms, memory_limit=gpu_memory_limit)
            vulkan.flags = _abi.LLM_VULKAN_LOW_PRIORITY if gpu_low_priority else 0
            desc.vulkan = ctypes.pointer(vulkan)
        logger = None if log is None else _make_logger(log, log_level)
        if logger is not None:
            desc.logger = ctypes.pointer(logger)
        self._handle = Handle(_abi.llm_engine, "llm_engine_free", "engine", logger)
        check("llm_engine_create", _abi.LLM_ABI, ctypes.byref(desc), ctypes.byref(self._handle.pointer))

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Gives the engine up; it goes when what was made with it has gone. Twice does no harm."""
        self._handle.close()

    @property
    def info(self) -> EngineInfo:
        """What the defaults came to, and the memory held."""
        info = new(_abi.llm_engine_info)
        with self._handle as engine:
            check("llm_engine_get_info", engine, ctypes.byref(info))
        tiers = {value: name for name, value in CPU_TIERS.items()}
        return EngineInfo(
            info.n_threads,
            info.n_arenas,
            info.n_chunk,
            tiers.get(info.cpu_tier, str(info.cpu_tier)),
            info.memory_used,
            info.memory_peak,
        )

    @property
    def devices(self) -> list[Device]:
        """The CPU, then GPUs if gpus=True asked for them."""
        found = []
        with self._handle as engine:
            for index in range(call("llm_engine_device_count", engine)):
                info = new(_abi.llm_device_info)
                check("llm_engine_device_info", engine, index, ctypes.byref(info))
                found.append(
                    Device(
                        info.device,
                        DEVICE_KINDS.get(info.kind, str(info.kind)),
                        text_of(info.name, info.name_len),
                        info.memory_total,
                        info.memory_free,
                    )
                )
        return found

    def device_report(self, device: int) -> str:
        """What is known of a device, for people and bug reports. Raises NoDeviceError."""
        with self._handle as engine:
            return fetch_text("llm_engine_device_report", engine, device)

    def test_device(self, device: int) -> None:
        """Tests each shader of a device with each type of weight; raises UnsupportedError with what it computes
        wrongly."""
        with self._handle as engine:
            on_helper_thread(lambda: check("llm_engine_device_test", engine, device), lambda: None)

    def device_cache(self, device: int) -> bytes:
        """The shaders that a GPU's driver has compiled so far, for set_device_cache in a later run."""
        with self._handle as engine:
            cache: bytes = fetch(ctypes.c_char, "llm_engine_device_cache", engine, device, cap=1 << 20)
        return cache

    def set_device_cache(self, device: int, data: bytes) -> None:
        """Gives back what device_cache gave, best before the first model is loaded. What is refused does no harm."""
        with self._handle as engine:
            check("llm_engine_device_set_cache", engine, device, data, len(data))

    def load(self, source: Sources, **options: Any) -> Model:
        """Model(source, engine=self, ...)."""
        from ._model import Model

        return Model(source, engine=self, **options)

    def load_tokenizer(self, source: Source) -> Tokenizer:
        """Tokenizer(source, engine=self)."""
        from ._tokenizer import Tokenizer

        return Tokenizer(source, engine=self)

    def trim(self) -> int:
        """For a program that needs memory now: gives back what steps only keep to be quick, and returns how many bytes
        these were. They are taken again when needed. Sessions that wait give more: Session.park."""
        freed = ctypes.c_uint64()  # without LLM_TRIM_PARK: it would take memory that borrowed arrays look at
        with self._handle as engine:
            check("llm_engine_trim", engine, 0xFFFFFFFFFFFFFFFF, 0, ctypes.byref(freed))
        return freed.value

    def estimate(
        self,
        source: Sources,
        *,
        n_ctx: int = 0,
        state_type: str = "f16",
        device: int = 0,
        n_device_layers: int = 0,
        vocab_only: bool = False,
        pack: Any | None = None,
    ) -> Estimate:
        """The memory that a model with one such session would hold, from the file's header alone. Raises what Model
        raises."""
        job = Job(None)
        sources = OpenSources(source, job.callbacks)
        model = model_desc(device, n_device_layers, vocab_only, pack)
        session = new(_abi.llm_session_desc, n_ctx=n_ctx, state_type=one_of("state_type", state_type, STATE_TYPES))
        info = new(_abi.llm_estimate_info)
        with self._handle as engine:
            job.run(
                "llm_model_estimate",
                engine,
                sources.array,
                sources.count,
                ctypes.byref(model),
                ctypes.byref(session),
                ctypes.byref(info),
            )
        return Estimate(*(getattr(info, name) for name in Estimate._fields))

    def quantize(
        self,
        source: Sources,
        target: Target,
        file_type: str = "Q4_K_M",
        *,
        importance: Source | None = None,
        pure: bool = False,
        keep_output: bool = False,
        progress: Progress | None = None,
    ) -> Quantized:
        """Writes a model's file anew with matrices of smaller types.

        target: a path, which is written whole or not at all, or a file opened for writing bytes. file_type: "Q4_K_M"
        and so on. Raises what Model raises; UnsupportedError for what is quantized already.
        """
        job = Job(progress)
        sources = OpenSources(source, job.callbacks)
        sink = OpenSink(target, job.callbacks)
        flags = (_abi.LLM_QUANTIZE_PURE if pure else 0) | (_abi.LLM_QUANTIZE_KEEP_OUTPUT if keep_output else 0)
        desc = new(
            _abi.llm_quantize_desc,
            flags=flags,
            file_type=one_of("file_type", file_type, FILE_TYPES),
            progress=job.callback(_abi.llm_quantize_desc_progress),
        )
        if importance is not None:
            weights = OpenSources(importance, job.callbacks)
            desc.importance = weights.array[0]
        info = new(_abi.llm_quantize_info)
        with self._handle as engine:
            job.run(
                "llm_model_quantize",
                engine,
                sources.array,
                sources.count,
                ctypes.byref(sink.struct),
                ctypes.byref(desc),
                ctypes.byref(info),
            )
        return Quantized(*(getattr(info, name) for name in Quantized._fields))


def model_desc(
    device: int, n_device_layers: int, vocab_only: bool, pack: Any | None, flags: int = 0
) -> _abi.llm_model_desc:
    """A model's descriptor without its progress."""
    desc = new(_abi.llm_model_desc, device=device, n_device_layers=n_device_layers)
    desc.flags = flags | (_abi.LLM_MODEL_VOCAB_ONLY if vocab_only else 0)
    if pack is not None:
        path = os.fsencode(pack)
        desc.pack, desc.pack_len = text_field(path), len(path)
    return desc


def _make_logger(log: Callable[[int, str], Any], level: int) -> _abi.llm_logger:
    levels = {_abi.LLM_LOG_ERROR: 40, _abi.LLM_LOG_WARN: 30, _abi.LLM_LOG_INFO: 20, _abi.LLM_LOG_DEBUG: 10}

    def write(user: Any, number: int, text: Any, length: int) -> None:
        try:
            log(levels.get(number, 10), text_of(text, length))
        except Exception:
            sys.unraisablehook(_Unraisable(log))  # type: ignore[arg-type]

    wanted = max((number for number, python in levels.items() if python >= level), default=_abi.LLM_LOG_ERROR)
    return new(_abi.llm_logger, level=wanted, write=_abi.llm_logger_write(write))


class _Unraisable:
    """What sys.unraisablehook wants to know of an exception in a logger, which has no call to be raised in."""

    def __init__(self, where: Any) -> None:
        exception: Any = sys.exc_info()
        self.exc_type, self.exc_value, self.exc_traceback = exception
        self.err_msg = "Exception ignored in libllm's log"
        self.object = where
