# SPDX-License-Identifier: MIT
"""include/llm.h for ctypes: every constant, struct and function, under its own name.

Written by tools/generate.py; do not edit. The header says what each of them means.
"""
# flake8: noqa: N801
from ctypes import (CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t,
                    c_uint32, c_uint64, c_uint8, c_void_p)

LLM_ABI = 0x00000001
LLM_NUL = c_size_t(-1).value
LLM_FOREVER = 0x7FFFFFFFFFFFFFFF

llm_status = c_int32

LLM_OK = 0
LLM_MORE = 1
LLM_E_INVALID = -1
LLM_E_STATE = -2
LLM_E_BUSY = -3
LLM_E_MEMORY = -4
LLM_E_IO = -5
LLM_E_FORMAT = -6
LLM_E_UNSUPPORTED = -7
LLM_E_VERSION = -8
LLM_E_CANCELLED = -9
LLM_E_CONTEXT_FULL = -10
LLM_E_SPACE = -11
LLM_E_DEVICE_LOST = -12
LLM_E_NO_DEVICE = -13
LLM_E_NUMERIC = -14
LLM_E_LIMIT = -15
LLM_E_NOT_FOUND = -16
LLM_E_INTERNAL = -17
LLM_E_MISMATCH = -18


class llm_error(Structure):
    _fields_ = [
        ("status", llm_status),
        ("message_len", c_uint32),
        ("offset", c_uint64),
        ("subject", c_char * 112),
        ("message", c_char * 384),
    ]


LLM_FEATURE_CPU = 1
LLM_FEATURE_VULKAN = 2
LLM_FEATURE_STATE_INT8 = 3
LLM_FEATURE_PACK = 4
LLM_FEATURE_CHAT = 5
LLM_FEATURE_SAVE = 6
LLM_FEATURE_GRAMMAR = 7

llm_token = c_int32

LLM_TOKEN_NONE = -1


class llm_str(Structure):
    _fields_ = [
        ("ptr", POINTER(c_char)),
        ("len", c_size_t),
    ]


class llm_token_bias(Structure):
    _fields_ = [
        ("token", llm_token),
        ("bias", c_float),
    ]


class llm_token_score(Structure):
    _fields_ = [
        ("token", llm_token),
        ("log_prob", c_float),
    ]


class llm_engine(Structure):
    """A handle: what it points to is the library's own."""


class llm_model(Structure):
    """A handle: what it points to is the library's own."""


class llm_tokenizer(Structure):
    """A handle: what it points to is the library's own."""


class llm_grammar(Structure):
    """A handle: what it points to is the library's own."""


class llm_sampler(Structure):
    """A handle: what it points to is the library's own."""


class llm_session(Structure):
    """A handle: what it points to is the library's own."""


class llm_chat(Structure):
    """A handle: what it points to is the library's own."""


LLM_MEMORY_OTHER = 0
LLM_MEMORY_WEIGHTS = 1
LLM_MEMORY_STATE = 2
LLM_MEMORY_ARENA = 3
LLM_MEMORY_TOKENIZER = 4


llm_allocator_allocate = CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t, c_int32)
llm_allocator_release = CFUNCTYPE(None, c_void_p, c_void_p, c_size_t, c_size_t, c_int32)


class llm_allocator(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("user", c_void_p),
        ("allocate", llm_allocator_allocate),
        ("release", llm_allocator_release),
        ("reserved_ptr", c_void_p),
    ]


LLM_LOG_ERROR = 1
LLM_LOG_WARN = 2
LLM_LOG_INFO = 3
LLM_LOG_DEBUG = 4


llm_logger_write = CFUNCTYPE(None, c_void_p, c_int32, POINTER(c_char), c_size_t)


class llm_logger(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("level", c_int32),
        ("user", c_void_p),
        ("write", llm_logger_write),
    ]


llm_parallel_run_job = CFUNCTYPE(None, c_void_p, c_uint32)
llm_parallel_run = CFUNCTYPE(None, c_void_p, c_uint32, llm_parallel_run_job, c_void_p)


class llm_parallel(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_threads", c_uint32),
        ("user", c_void_p),
        ("run", llm_parallel_run),
    ]


llm_reader_read = CFUNCTYPE(llm_status, c_void_p, c_uint64, c_void_p, c_size_t)


class llm_reader(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("size", c_uint64),
        ("user", c_void_p),
        ("read", llm_reader_read),
    ]


llm_writer_write = CFUNCTYPE(llm_status, c_void_p, c_void_p, c_size_t)


class llm_writer(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("user", c_void_p),
        ("write", llm_writer_write),
    ]


LLM_SINK_PATH = 0
LLM_SINK_WRITER = 1


class llm_sink(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("kind", c_int32),
        ("path", POINTER(c_char)),
        ("path_len", c_size_t),
        ("writer", POINTER(llm_writer)),
        ("reserved_ptr", c_void_p),
    ]


LLM_VULKAN_LOW_PRIORITY = 1
LLM_VULKAN_VALIDATE = 2


llm_vulkan_get_proc = CFUNCTYPE(c_void_p, c_void_p, c_void_p, POINTER(c_char))
llm_vulkan_lock = CFUNCTYPE(None, c_void_p)
llm_vulkan_unlock = CFUNCTYPE(None, c_void_p)


class llm_vulkan(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("submit_ms", c_uint32),
        ("queue_family", c_uint32),
        ("memory_limit", c_uint64),
        ("user", c_void_p),
        ("get_proc", llm_vulkan_get_proc),
        ("instance", c_void_p),
        ("physical_device", c_void_p),
        ("device", c_void_p),
        ("queue", c_void_p),
        ("lock", llm_vulkan_lock),
        ("unlock", llm_vulkan_unlock),
    ]


LLM_ENGINE_GPUS = 1
LLM_CPU_REFERENCE = 1
LLM_CPU_AVX2 = 2
LLM_CPU_AVX512 = 3
LLM_CPU_NEON = 4
LLM_CPU_NEON_I8MM = 5
LLM_CPU_AMX = 6


class llm_engine_desc(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("n_threads", c_int32),
        ("n_arenas", c_int32),
        ("n_chunk", c_int32),
        ("cpu_tier", c_int32),
        ("memory_limit", c_uint64),
        ("allocator", POINTER(llm_allocator)),
        ("logger", POINTER(llm_logger)),
        ("parallel", POINTER(llm_parallel)),
        ("vulkan", POINTER(llm_vulkan)),
    ]


class llm_engine_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_threads", c_int32),
        ("n_arenas", c_int32),
        ("n_chunk", c_int32),
        ("cpu_tier", c_int32),
        ("reserved", c_int32),
        ("memory_used", c_uint64),
        ("memory_peak", c_uint64),
    ]


LLM_DEVICE_KIND_CPU = 1
LLM_DEVICE_KIND_INTEGRATED = 2
LLM_DEVICE_KIND_DISCRETE = 3
LLM_DEVICE_KIND_SOFTWARE = 4


class llm_device_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("device", c_int32),
        ("kind", c_int32),
        ("reserved", c_int32),
        ("name", POINTER(c_char)),
        ("name_len", c_size_t),
        ("memory_total", c_uint64),
        ("memory_free", c_uint64),
    ]


LLM_SOURCE_PATH = 0
LLM_SOURCE_FD = 1
LLM_SOURCE_BUFFER = 2
LLM_SOURCE_READER = 3


class llm_source(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("kind", c_int32),
        ("path", POINTER(c_char)),
        ("path_len", c_size_t),
        ("fd", c_int64),
        ("offset", c_uint64),
        ("size", c_uint64),
        ("data", c_void_p),
        ("data_len", c_size_t),
        ("reader", POINTER(llm_reader)),
        ("reserved_ptr", c_void_p),
    ]


LLM_MODEL_VOCAB_ONLY = 1
LLM_MODEL_OBSERVE = 2
LLM_MODEL_PACK_READ_ONLY = 4
LLM_MODEL_PACK_VERIFY = 8
LLM_ALL_LAYERS = -1


llm_model_desc_progress = CFUNCTYPE(c_int32, c_void_p, c_float)


class llm_model_desc(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("device", c_int32),
        ("n_device_layers", c_int32),
        ("progress", llm_model_desc_progress),
        ("user", c_void_p),
        ("pack", POINTER(c_char)),
        ("pack_len", c_size_t),
    ]


class llm_model_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("architecture", POINTER(c_char)),
        ("architecture_len", c_size_t),
        ("name", POINTER(c_char)),
        ("name_len", c_size_t),
        ("n_params", c_uint64),
        ("file_bytes", c_uint64),
        ("weight_bytes", c_uint64),
        ("n_vocab", c_int32),
        ("n_ctx_train", c_int32),
        ("n_embd", c_int32),
        ("n_layers", c_int32),
        ("mapped_bytes", c_uint64),
    ]


LLM_META_INT = 1
LLM_META_UINT = 2
LLM_META_FLOAT = 3
LLM_META_BOOL = 4
LLM_META_STRING = 5
LLM_META_ARRAY = 6


class llm_meta(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("type", c_int32),
        ("item_type", c_int32),
        ("reserved", c_int32),
        ("key", POINTER(c_char)),
        ("key_len", c_size_t),
        ("string", POINTER(c_char)),
        ("string_len", c_size_t),
        ("integer", c_int64),
        ("number", c_double),
        ("n_items", c_uint64),
    ]


class llm_tensor_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_dims", c_uint32),
        ("name", POINTER(c_char)),
        ("name_len", c_size_t),
        ("type", POINTER(c_char)),
        ("type_len", c_size_t),
        ("dims", c_uint64 * 4),
        ("bytes", c_uint64),
    ]


LLM_ENCODE_ADD_SPECIAL = 1
LLM_ENCODE_PARSE_SPECIAL = 2
LLM_ENCODE_CONTINUES = 4
LLM_DECODE_SHOW_SPECIAL = 1
LLM_DECODE_CLEAN_SPACES = 2
LLM_SPECIAL_BOS = 1
LLM_SPECIAL_EOS = 2
LLM_SPECIAL_EOT = 3
LLM_SPECIAL_EOM = 4
LLM_SPECIAL_UNK = 5
LLM_SPECIAL_SEP = 6
LLM_SPECIAL_PAD = 7
LLM_SPECIAL_MASK = 8
LLM_SPECIAL_NEWLINE = 9
LLM_SPECIAL_FIM_PREFIX = 10
LLM_SPECIAL_FIM_SUFFIX = 11
LLM_SPECIAL_FIM_MIDDLE = 12
LLM_SPECIAL_FIM_PAD = 13
LLM_SPECIAL_FIM_REPO = 14
LLM_SPECIAL_FIM_SEP = 15
LLM_TOKEN_NORMAL = 1
LLM_TOKEN_UNKNOWN = 2
LLM_TOKEN_CONTROL = 3
LLM_TOKEN_USER = 4
LLM_TOKEN_UNUSED = 5
LLM_TOKEN_BYTE = 6
LLM_TOKEN_ENDS = 1


class llm_token_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("kind", c_int32),
        ("reserved", c_int32),
        ("bytes", POINTER(c_char)),
        ("n_bytes", c_size_t),
    ]


LLM_GRAMMAR_GBNF = 1
LLM_GRAMMAR_JSON_SCHEMA = 2
LLM_GRAMMAR_REGEX = 3
LLM_GRAMMAR_COMPACT = 1
LLM_STAGE_PENALTIES = 1
LLM_STAGE_DRY = 2
LLM_STAGE_TOP_N_SIGMA = 3
LLM_STAGE_TOP_K = 4
LLM_STAGE_TYPICAL = 5
LLM_STAGE_TOP_P = 6
LLM_STAGE_MIN_P = 7
LLM_STAGE_XTC = 8
LLM_STAGE_TEMPERATURE = 9


class llm_sampler_desc(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("temperature", c_float),
        ("top_k", c_int32),
        ("top_p", c_float),
        ("min_p", c_float),
        ("min_keep", c_int32),
        ("penalty_last_n", c_int32),
        ("repeat_penalty", c_float),
        ("frequency_penalty", c_float),
        ("presence_penalty", c_float),
        ("reserved", c_uint32),
        ("biases", POINTER(llm_token_bias)),
        ("n_biases", c_size_t),
        ("dynatemp_range", c_float),
        ("dynatemp_exponent", c_float),
        ("typical_p", c_float),
        ("top_n_sigma", c_float),
        ("xtc_probability", c_float),
        ("xtc_threshold", c_float),
        ("dry_multiplier", c_float),
        ("dry_base", c_float),
        ("dry_allowed_length", c_int32),
        ("dry_last_n", c_int32),
        ("mirostat", c_int32),
        ("mirostat_tau", c_float),
        ("mirostat_eta", c_float),
        ("adaptive_target", c_float),
        ("adaptive_decay", c_float),
        ("reserved_2", c_uint32),
        ("dry_breakers", POINTER(llm_str)),
        ("n_dry_breakers", c_size_t),
        ("order", POINTER(c_uint8)),
        ("n_order", c_size_t),
        ("grammar", POINTER(llm_grammar)),
        ("reserved_ptr", c_void_p),
    ]


LLM_STATE_TYPE_F16 = 0
LLM_STATE_TYPE_F32 = 1
LLM_STATE_TYPE_INT8 = 2
LLM_SESSION_RESERVE = 1
LLM_FULL_END = 0
LLM_FULL_SLIDE = 1


class llm_session_desc(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("n_ctx", c_int32),
        ("state_type", c_int32),
        ("when_full", c_int32),
        ("n_keep", c_int32),
    ]


LLM_APPEND_SCORE = 1
LLM_APPEND_PARSE_SPECIAL = 2
LLM_APPEND_NO_BOS = 4
LLM_GENERATE_IGNORE_END = 1
LLM_GENERATE_SCORE = 2
LLM_GENERATE_SHOW_SPECIAL = 4
LLM_GENERATE_CONTINUE = 8


llm_generate_desc_on_logits = CFUNCTYPE(None, c_void_p, POINTER(c_float), c_int32)


class llm_generate_desc(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("seed", c_uint64),
        ("max_tokens", c_int32),
        ("reserved", c_int32),
        ("sampler", POINTER(llm_sampler)),
        ("stops", POINTER(llm_str)),
        ("n_stops", c_size_t),
        ("stop_tokens", POINTER(llm_token)),
        ("n_stop_tokens", c_size_t),
        ("on_logits", llm_generate_desc_on_logits),
        ("user", c_void_p),
        ("reserved_ptr", c_void_p),
    ]


LLM_STEP_NO_WAIT = 1
LLM_STATE_READY = 0
LLM_STATE_WORKING = 1
LLM_END_TOKEN = 2
LLM_END_STOP = 3
LLM_END_LENGTH = 4
LLM_END_CONTEXT = 5
LLM_END_CANCELLED = 6
LLM_END_GRAMMAR = 7
llm_session_watch_scores_on_score = CFUNCTYPE(None, c_void_p, c_size_t, POINTER(c_float), c_int32)

LLM_SESSION_ANEW = 1


class llm_session_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("n_prompt", c_uint64),
        ("prompt_us", c_uint64),
        ("n_generated", c_uint64),
        ("generate_us", c_uint64),
        ("state_bytes", c_uint64),
        ("n_ctx", c_int32),
        ("state_type", c_int32),
        ("n_slid", c_uint64),
    ]


LLM_IMPORTANCE_OUTPUT = 1


class llm_importance_desc(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("dataset", POINTER(c_char)),
        ("dataset_len", c_size_t),
        ("n_chunks", c_int32),
        ("chunk_tokens", c_int32),
    ]


LLM_SAVE_TOKENS_ONLY = 1


class llm_save_desc(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("note", c_void_p),
        ("note_len", c_size_t),
    ]


LLM_RESTORE_NEED_STATE = 1
LLM_RESTORE_OTHER_MODEL = 2
LLM_SAVED_SAME_MODEL = 1
LLM_SAVED_SAME_VOCABULARY = 2
LLM_SAVED_STATE = 4


class llm_saved_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("n_tokens", c_uint64),
        ("n_evaluated", c_uint64),
        ("n_reply", c_uint64),
        ("file_bytes", c_uint64),
        ("note_len", c_uint64),
        ("n_ctx", c_int32),
        ("state_type", c_int32),
        ("version", c_uint32),
        ("arithmetic", c_uint32),
    ]


LLM_TRIM_PARK = 1
LLM_CHAT_GIVEN = 1
LLM_CHAT_MODEL = 2
LLM_CHAT_BUILTIN = 3


class llm_chat_desc(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("template_text", POINTER(c_char)),
        ("template_text_len", c_size_t),
        ("template_name", POINTER(c_char)),
        ("template_name_len", c_size_t),
        ("tools", POINTER(c_char)),
        ("tools_len", c_size_t),
        ("variables", POINTER(c_char)),
        ("variables_len", c_size_t),
        ("date", POINTER(c_char)),
        ("date_len", c_size_t),
    ]


class llm_chat_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("origin", c_int32),
        ("name", POINTER(c_char)),
        ("name_len", c_size_t),
    ]


LLM_CHAT_NO_PROMPT = 1
LLM_EVENT_NONE = 0
LLM_EVENT_TEXT = 1
LLM_EVENT_REASONING = 2
LLM_EVENT_CALL = 3


class llm_chat_event(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("kind", c_int32),
        ("text", POINTER(c_char)),
        ("text_len", c_size_t),
        ("name", POINTER(c_char)),
        ("name_len", c_size_t),
        ("id", POINTER(c_char)),
        ("id_len", c_size_t),
    ]


LLM_FILE_F32 = 1
LLM_FILE_F16 = 2
LLM_FILE_BF16 = 3
LLM_FILE_Q8_0 = 4
LLM_FILE_Q4_0 = 5
LLM_FILE_Q4_1 = 6
LLM_FILE_Q5_0 = 7
LLM_FILE_Q5_1 = 8
LLM_FILE_Q4_K_S = 9
LLM_FILE_Q4_K_M = 10
LLM_FILE_Q5_K_S = 11
LLM_FILE_Q5_K_M = 12
LLM_FILE_Q6_K = 13
LLM_FILE_IQ4_NL = 14
LLM_FILE_IQ4_XS = 15
LLM_QUANTIZE_PURE = 1
LLM_QUANTIZE_KEEP_OUTPUT = 2


llm_quantize_desc_progress = CFUNCTYPE(c_int32, c_void_p, c_float)


class llm_quantize_desc(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("file_type", c_int32),
        ("reserved", c_int32),
        ("importance", POINTER(llm_source)),
        ("progress", llm_quantize_desc_progress),
        ("user", c_void_p),
    ]


class llm_quantize_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_tensors", c_uint32),
        ("n_quantized", c_uint32),
        ("n_fallback", c_uint32),
        ("n_weighted", c_uint32),
        ("reserved", c_uint32),
        ("bytes_in", c_uint64),
        ("bytes_out", c_uint64),
    ]


class llm_estimate_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("total_bytes", c_uint64),
        ("weight_bytes", c_uint64),
        ("model_bytes", c_uint64),
        ("arena_bytes", c_uint64),
        ("session_bytes", c_uint64),
        ("mapped_bytes", c_uint64),
        ("device_bytes", c_uint64),
    ]


# name: (result, parameters)
FUNCTIONS = {
    "llm_version": (c_uint32, []),
    "llm_status_name": (c_char_p, [llm_status]),
    "llm_has": (c_int32, [c_int32]),
    "llm_engine_create": (llm_status, [c_uint32, POINTER(llm_engine_desc), POINTER(POINTER(llm_engine)),
        POINTER(llm_error)]),
    "llm_engine_free": (None, [POINTER(llm_engine)]),
    "llm_engine_get_info": (llm_status, [POINTER(llm_engine), POINTER(llm_engine_info), POINTER(llm_error)]),
    "llm_engine_device_count": (c_int32, [POINTER(llm_engine)]),
    "llm_engine_device_info": (llm_status, [POINTER(llm_engine), c_int32, POINTER(llm_device_info),
        POINTER(llm_error)]),
    "llm_engine_device_test": (llm_status, [POINTER(llm_engine), c_int32, POINTER(llm_error)]),
    "llm_engine_device_report": (llm_status, [POINTER(llm_engine), c_int32, c_char_p, c_size_t, POINTER(c_size_t),
        POINTER(llm_error)]),
    "llm_engine_device_cache": (llm_status, [POINTER(llm_engine), c_int32, c_void_p, c_size_t, POINTER(c_size_t),
        POINTER(llm_error)]),
    "llm_engine_device_set_cache": (llm_status, [POINTER(llm_engine), c_int32, c_void_p, c_size_t,
        POINTER(llm_error)]),
    "llm_model_load": (llm_status, [POINTER(llm_engine), c_char_p, c_size_t, POINTER(llm_model_desc),
        POINTER(POINTER(llm_model)), POINTER(llm_error)]),
    "llm_model_load_from": (llm_status, [POINTER(llm_engine), POINTER(POINTER(llm_source)), c_size_t,
        POINTER(llm_model_desc), POINTER(POINTER(llm_model)), POINTER(llm_error)]),
    "llm_model_plan": (llm_status, [POINTER(llm_model), c_char_p, c_size_t, POINTER(c_size_t),
        POINTER(llm_error)]),
    "llm_model_free": (None, [POINTER(llm_model)]),
    "llm_model_get_info": (llm_status, [POINTER(llm_model), POINTER(llm_model_info), POINTER(llm_error)]),
    "llm_model_meta_count": (c_size_t, [POINTER(llm_model)]),
    "llm_model_meta_at": (llm_status, [POINTER(llm_model), c_size_t, POINTER(llm_meta), POINTER(llm_error)]),
    "llm_model_meta_find": (llm_status, [POINTER(llm_model), c_char_p, c_size_t, POINTER(llm_meta),
        POINTER(llm_error)]),
    "llm_model_meta_item": (llm_status, [POINTER(llm_model), c_size_t, c_uint64, POINTER(llm_meta),
        POINTER(llm_error)]),
    "llm_model_tensor_count": (c_size_t, [POINTER(llm_model)]),
    "llm_model_tensor_at": (llm_status, [POINTER(llm_model), c_size_t, POINTER(llm_tensor_info),
        POINTER(llm_error)]),
    "llm_tokenizer_load": (llm_status, [POINTER(llm_engine), POINTER(llm_source), POINTER(POINTER(llm_tokenizer)),
        POINTER(llm_error)]),
    "llm_tokenizer_free": (None, [POINTER(llm_tokenizer)]),
    "llm_model_tokenizer": (POINTER(llm_tokenizer), [POINTER(llm_model)]),
    "llm_tokenizer_encode": (llm_status, [POINTER(llm_tokenizer), c_char_p, c_size_t, c_uint32,
        POINTER(llm_token), c_size_t, POINTER(c_size_t), POINTER(llm_error)]),
    "llm_tokenizer_decode": (llm_status, [POINTER(llm_tokenizer), POINTER(llm_token), c_size_t, c_uint32,
        c_char_p, c_size_t, POINTER(c_size_t), POINTER(llm_error)]),
    "llm_tokenizer_n_vocab": (c_int32, [POINTER(llm_tokenizer)]),
    "llm_tokenizer_special": (llm_token, [POINTER(llm_tokenizer), c_int32]),
    "llm_tokenizer_token": (llm_status, [POINTER(llm_tokenizer), llm_token, POINTER(llm_token_info),
        POINTER(llm_error)]),
    "llm_grammar_create": (llm_status, [POINTER(llm_tokenizer), c_int32, c_uint32, c_char_p, c_size_t,
        POINTER(POINTER(llm_grammar)), POINTER(llm_error)]),
    "llm_grammar_free": (None, [POINTER(llm_grammar)]),
    "llm_sampler_create": (llm_status, [POINTER(llm_tokenizer), POINTER(llm_sampler_desc),
        POINTER(POINTER(llm_sampler)), POINTER(llm_error)]),
    "llm_sampler_free": (None, [POINTER(llm_sampler)]),
    "llm_session_create": (llm_status, [POINTER(llm_model), POINTER(llm_session_desc),
        POINTER(POINTER(llm_session)), POINTER(llm_error)]),
    "llm_session_fork": (llm_status, [POINTER(llm_session), POINTER(POINTER(llm_session)), POINTER(llm_error)]),
    "llm_session_free": (None, [POINTER(llm_session)]),
    "llm_session_append": (llm_status, [POINTER(llm_session), POINTER(llm_token), c_size_t, c_uint32,
        POINTER(llm_error)]),
    "llm_session_append_text": (llm_status, [POINTER(llm_session), c_char_p, c_size_t, c_uint32,
        POINTER(llm_error)]),
    "llm_session_sync": (llm_status, [POINTER(llm_session), POINTER(llm_token), c_size_t, c_uint32,
        POINTER(llm_error)]),
    "llm_session_rewind": (llm_status, [POINTER(llm_session), c_size_t, POINTER(llm_error)]),
    "llm_session_generate": (llm_status, [POINTER(llm_session), POINTER(llm_generate_desc), POINTER(llm_error)]),
    "llm_session_step": (llm_status, [POINTER(POINTER(llm_session)), c_size_t, c_int64, c_uint32,
        POINTER(llm_error)]),
    "llm_session_state": (c_int32, [POINTER(llm_session)]),
    "llm_session_cancel": (None, [POINTER(llm_session)]),
    "llm_session_read_text": (c_size_t, [POINTER(llm_session), c_char_p, c_size_t]),
    "llm_session_n_tokens": (c_size_t, [POINTER(llm_session)]),
    "llm_session_n_pending": (c_size_t, [POINTER(llm_session)]),
    "llm_session_tokens": (llm_status, [POINTER(llm_session), POINTER(POINTER(llm_token)), POINTER(c_size_t),
        POINTER(llm_error)]),
    "llm_session_logits": (llm_status, [POINTER(llm_session), POINTER(POINTER(c_float)), POINTER(c_size_t),
        POINTER(llm_error)]),
    "llm_session_scores": (llm_status, [POINTER(llm_session), POINTER(POINTER(c_float)), POINTER(c_size_t),
        POINTER(llm_error)]),
    "llm_session_watch_scores": (llm_status, [POINTER(llm_session), llm_session_watch_scores_on_score, c_void_p,
        POINTER(llm_error)]),
    "llm_session_best": (llm_status, [POINTER(llm_session), POINTER(llm_token_score), c_size_t, POINTER(c_size_t),
        POINTER(llm_error)]),
    "llm_session_get_info": (llm_status, [POINTER(llm_session), POINTER(llm_session_info), POINTER(llm_error)]),
    "llm_model_write_importance": (llm_status, [POINTER(llm_model), POINTER(llm_sink),
        POINTER(llm_importance_desc), POINTER(llm_error)]),
    "llm_session_save": (llm_status, [POINTER(llm_session), c_char_p, c_size_t, POINTER(llm_save_desc),
        POINTER(llm_error)]),
    "llm_session_save_to": (llm_status, [POINTER(llm_session), POINTER(llm_sink), POINTER(llm_save_desc),
        POINTER(llm_error)]),
    "llm_session_restore": (llm_status, [POINTER(llm_session), c_char_p, c_size_t, c_uint32, POINTER(llm_error)]),
    "llm_session_restore_from": (llm_status, [POINTER(llm_session), POINTER(llm_source), c_uint32,
        POINTER(llm_error)]),
    "llm_saved_get_info": (llm_status, [POINTER(llm_model), POINTER(llm_source), POINTER(llm_saved_info),
        POINTER(llm_error)]),
    "llm_saved_note": (llm_status, [POINTER(llm_model), POINTER(llm_source), c_void_p, c_size_t,
        POINTER(c_size_t), POINTER(llm_error)]),
    "llm_session_park": (llm_status, [POINTER(llm_session), POINTER(llm_error)]),
    "llm_engine_trim": (llm_status, [POINTER(llm_engine), c_uint64, c_uint32, POINTER(c_uint64),
        POINTER(llm_error)]),
    "llm_chat_create": (llm_status, [POINTER(llm_model), POINTER(llm_chat_desc), POINTER(POINTER(llm_chat)),
        POINTER(llm_error)]),
    "llm_chat_free": (None, [POINTER(llm_chat)]),
    "llm_chat_add": (llm_status, [POINTER(llm_chat), c_char_p, c_size_t, c_char_p, c_size_t, POINTER(llm_error)]),
    "llm_chat_add_json": (llm_status, [POINTER(llm_chat), c_char_p, c_size_t, POINTER(llm_error)]),
    "llm_chat_n_messages": (c_size_t, [POINTER(llm_chat)]),
    "llm_chat_rewind": (llm_status, [POINTER(llm_chat), c_size_t, POINTER(llm_error)]),
    "llm_chat_get_info": (llm_status, [POINTER(llm_chat), POINTER(llm_chat_info), POINTER(llm_error)]),
    "llm_chat_render": (llm_status, [POINTER(llm_chat), c_uint32, c_char_p, c_size_t, POINTER(c_size_t),
        POINTER(llm_error)]),
    "llm_chat_encode": (llm_status, [POINTER(llm_chat), c_uint32, POINTER(llm_token), c_size_t, POINTER(c_size_t),
        POINTER(llm_error)]),
    "llm_session_sync_chat": (llm_status, [POINTER(llm_session), POINTER(llm_chat), c_uint32,
        POINTER(llm_error)]),
    "llm_chat_read": (llm_status, [POINTER(llm_chat), POINTER(llm_session), POINTER(llm_chat_event),
        POINTER(llm_error)]),
    "llm_chat_add_reply": (llm_status, [POINTER(llm_chat), POINTER(llm_error)]),
    "llm_model_quantize": (llm_status, [POINTER(llm_engine), POINTER(POINTER(llm_source)), c_size_t,
        POINTER(llm_sink), POINTER(llm_quantize_desc), POINTER(llm_quantize_info), POINTER(llm_error)]),
    "llm_model_estimate": (llm_status, [POINTER(llm_engine), POINTER(POINTER(llm_source)), c_size_t,
        POINTER(llm_model_desc), POINTER(llm_session_desc), POINTER(llm_estimate_info), POINTER(llm_error)]),
}
