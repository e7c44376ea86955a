#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the golden models of tests/golden: small random models as GGUF, and what Hugging Face's implementation of them says.

    pip install torch transformers gguf numpy
    python3 tools/gen_golden.py tests/golden/data

The outputs are committed; the tests need neither Python nor a network. For each model NAME:

    NAME.gguf    weights drawn from a seed, with a character vocabulary of 100 tokens
    NAME.gold    "LMGOLD1\\0", uint32 n_tokens, n_positions, n_vocab, reserved; int32 tokens[n_tokens]; int32 positions[n_positions];
                 float32 logits[n_positions][n_vocab]: what follows each of these positions. Little-endian
    NAME-begin.gold    for some: the same of the first tokens alone, where the model sees a shorter context differently

The forward pass runs in float64 (but for what transformers itself does in float32: norms, rope tables, routers). Quantized weights are
dequantized by the `gguf` package first, so that the reference has the same weights, but not our eight-bit activations.
"""
import math
import struct
import sys
import zlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from transformers import Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, GemmaConfig, GemmaForCausalLM
from transformers import GlmConfig, GlmForCausalLM, GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM
from transformers import MixtralConfig, MixtralForCausalLM, Phi3Config, Phi3ForCausalLM
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

N_VOCAB = 100
N_TOKENS = 300                                                  # past the first chunk of 256 keys
POSITIONS = [0, 1, 2, 15, 16, 63, 64, 127, 255, 256, 257, 290, 298, 299]
POSITIONS_SMALL = [0, 1, 17, 64, 256, 299]


def small(**more):
    """The usual shape: 2 layers, 4 heads on 2 of keys."""
    return dict(dict(dim=32, layers=2, heads=4, kv=2, head=8, ff=40, theta=10000.0, eps=1e-5, ctx=512), **more)


LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128)
LONGROPE = dict(rope_type="longrope", original_max_position_embeddings=128)       # the divisors are drawn: see long_factors
MODELS = {
    "llama-tied": small(arch="llama", tied=True, layers=3),
    "llama-untied": small(arch="llama", eps=1e-6, heads=8, head=12),                              # heads * head != dim
    "llama-bias": small(arch="llama", biases=True, kv=1),
    "llama-rope3": small(arch="llama", tied=True, head=16, theta=500000.0, scaling=LLAMA3),
    "llama-linear": small(arch="llama", tied=True, kv=4, layers=1, scaling=dict(rope_type="linear", factor=4.0)),
    "llama-yarn": small(arch="llama", tied=True, head=16, layers=1, scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=128)),
    "mistral": small(arch="mistral", layers=3, window=43),                                       # several windows long, ends within pages
    "mixtral": small(arch="mixtral", experts=4, used=2, ff=32),
    "mixtral-split": small(arch="mixtral", experts=4, used=3, ff=32, split=True, layers=1),      # a tensor for each expert, as in 2023
    # fused rows and biases; other families' files have them
    "llama-fused": small(arch="llama", biases=True, kv=1, head=12, layers=1, fused=True),
    # 4k: a window; 128k, Phi-4-mini: a part of each head rotated, two sets of divisors, by the length of the context
    "phi3-window": small(arch="phi3", dim=40, heads=5, kv=5, head=8, ff=36, window=47, types=[T.F16, T.F32]),
    "phi3-short": small(arch="phi3", dim=48, heads=3, kv=1, head=16, ctx=1024, scaling=LONGROPE | dict(original_max_position_embeddings=512), named=True),
    "phi3-long": small(arch="phi3", dim=40, heads=5, kv=1, head=8, rot=6, ff=36, tied=True, layers=3, window=1 << 18, scaling=LONGROPE, begin=100),
    "qwen2-tied": small(arch="qwen2", tied=True, theta=1e6, eps=1e-6),
    "qwen2-untied": small(arch="qwen2", kv=1, layers=1),
    "qwen3-tied": small(arch="qwen3", tied=True, head=16, theta=1e6, eps=1e-6),
    "qwen3-untied": small(arch="qwen3", heads=3, kv=1, head=12, eps=1e-6),
    "qwen3moe": small(arch="qwen3moe", experts=6, used=3, ff=48, ff_expert=32, head=12, theta=1e6, eps=1e-6),
    "qwen2moe": small(arch="qwen2moe", experts=6, used=3, ff=48, ff_expert=32, ff_shared=40, theta=1e6, eps=1e-6),
    # Windows far shorter than the prompt. The 27B models are told by their layers: their scores are scaled by the embedding's share of a head;
    # and they say what the format's defaults are, soft caps and the period of the windows, nowhere.
    "gemma": small(arch="gemma", tied=True, layers=2, kv=1, head=12, eps=1e-6),
    "gemma2": small(arch="gemma2", tied=True, layers=3, heads=4, head=12, eps=1e-6, window=37, softcaps=(4.0, 15.0)),
    "gemma2-27b": small(arch="gemma2", tied=True, dim=8, layers=46, heads=2, kv=1, ff=8, eps=1e-6, calm=0.2, tokens=75, types=[T.F16]),
    "gemma3": small(arch="gemma3", tied=True, layers=7, ff=32, eps=1e-6, theta=1e6, window=21, scaling=dict(rope_type="linear", factor=8.0)),
    "gemma3-27b": small(arch="gemma3", tied=True, dim=8, layers=62, heads=2, kv=1, ff=8, eps=1e-6, theta=1e6, local_theta=3000.0, window=20, period=4,
                        tokens=75, calm=0.2, types=[T.F16]),
    "llama-half": small(arch="llama", types=[T.F16, T.BF16], vectors=T.F16),
    "llama-q8_0": small(arch="llama", dim=64, ff=64, layers=2, types=[T.Q8_0]),
    "llama-q4_0": small(arch="llama", dim=64, ff=96, head=16, layers=1, types=[T.Q4_0, T.Q8_0]),
    "mixtral-q4_0": small(arch="mixtral", experts=4, used=2, ff=64, head=8, types=[T.Q4_0, T.Q8_0]),
    # other implementations whose arithmetic is llama's with one more key: a share of each head rotated, a scale of its own
    "llama-partial": small(arch="glm", layers=1, head=16, rot=8, kv=1, biases=True),
    "llama-scale": small(arch="granite", layers=1, scale=0.17, tied=True),
    "qwen3-k": small(arch="qwen3", dim=256, ff=256, heads=2, kv=1, head=64, layers=1, types=[T.Q4_K, T.Q6_K]),
    # types as quantizers mix them: rows that 256 does not divide fall back to blocks of 32
    "llama-mixed": small(arch="llama", dim=256, ff=160, heads=2, kv=1, head=16, layers=1, fallback=True, types=[T.Q4_K, T.Q5_K, T.Q2_K, T.Q3_K, T.IQ4_XS, T.Q6_K, T.Q4_K, T.Q5_K, T.IQ4_XS]),
    "qwen3-mixed": small(arch="qwen3", dim=256, ff=160, heads=2, kv=1, head=16, layers=1, fallback=True, types=[T.Q2_K, T.IQ4_XS, T.Q5_K, T.Q6_K, T.Q3_K, T.Q4_K, T.Q3_K, T.IQ4_XS, T.Q5_K]),
    "mixtral-32": small(arch="mixtral", experts=4, used=2, dim=64, ff=96, layers=1, types=[T.Q4_1, T.MXFP4, T.Q5_0, T.IQ4_NL, T.Q5_1]),
}


def gemma(s):
    return s["arch"].startswith("gemma")


def windowed(s):
    """Which layers look back only so far."""
    period = s.get("period", 2 if s["arch"] == "gemma2" else 6)
    return ["sliding_attention" if i % period < period - 1 else "full_attention" for i in range(s["layers"])]


def config(s):
    rope = dict(rope_type="default", rope_theta=s["theta"]) | s.get("scaling", {})
    common = dict(vocab_size=N_VOCAB, hidden_size=s["dim"], intermediate_size=s["ff"], num_hidden_layers=s["layers"], num_attention_heads=s["heads"],
                  num_key_value_heads=s["kv"], head_dim=s["head"], max_position_embeddings=s["ctx"], rms_norm_eps=s["eps"], rope_parameters=rope,
                  tie_word_embeddings=s.get("tied", False), attn_implementation="eager", use_cache=False, experts_implementation="eager")
    if s["arch"] == "mistral":
        return MistralForCausalLM, MistralConfig(sliding_window=s["window"], **common)
    if s["arch"] == "mixtral":
        return MixtralForCausalLM, MixtralConfig(num_local_experts=s["experts"], num_experts_per_tok=s["used"], **common)
    if s["arch"] == "qwen2":
        return Qwen2ForCausalLM, Qwen2Config(**common)
    if s["arch"] == "qwen2moe":
        return Qwen2MoeForCausalLM, Qwen2MoeConfig(num_experts=s["experts"], num_experts_per_tok=s["used"], moe_intermediate_size=s["ff_expert"],
                                                   shared_expert_intermediate_size=s["ff_shared"], norm_topk_prob=False, **common)
    if s["arch"] == "gemma":
        return GemmaForCausalLM, GemmaConfig(hidden_act="gelu_pytorch_tanh", pad_token_id=None, **common)
    if gemma(s):
        scores, logits = s.get("softcaps", (50.0, 30.0) if s["arch"] == "gemma2" else (None, None))
        big = s["layers"] in (46, 62)
        common |= dict(hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=s["dim"] // s["heads"] if big else s["head"], pad_token_id=None,
                       sliding_window=s.get("window", 4096), layer_types=windowed(s), attn_logit_softcapping=scores, final_logit_softcapping=logits)
        if s["arch"] == "gemma2":
            return Gemma2ForCausalLM, Gemma2Config(**common)
        common["rope_parameters"] = dict(full_attention=rope, sliding_attention=dict(rope_type="default", rope_theta=s.get("local_theta", 10000.0)))
        return Gemma3ForCausalLM, Gemma3TextConfig(**common)
    if s["arch"] == "qwen3":
        return Qwen3ForCausalLM, Qwen3Config(**common)
    if s["arch"] == "qwen3moe":
        return Qwen3MoeForCausalLM, Qwen3MoeConfig(num_experts=s["experts"], num_experts_per_tok=s["used"], moe_intermediate_size=s["ff_expert"],
                                                   norm_topk_prob=True, **common)
    if s["arch"] == "glm":
        common["rope_parameters"]["partial_rotary_factor"] = s["rot"] / s["head"]
        return GlmForCausalLM, GlmConfig(attention_bias=True, pad_token_id=None, **common)
    if s["arch"] == "phi3":
        del common["head_dim"]                                      # hidden_size / heads, as the files leave it to be
        common["rope_parameters"]["partial_rotary_factor"] = s.get("rot", s["head"]) / s["head"]
        if "scaling" in s:
            common["rope_parameters"] |= dict(zip(("short_factor", "long_factor"), (f.tolist() for f in long_factors(s))))
        return Phi3ForCausalLM, Phi3Config(original_max_position_embeddings=rope.get("original_max_position_embeddings", s["ctx"]), pad_token_id=None,
                                           sliding_window=s.get("window"), **common)
    if s["arch"] == "granite":
        return GraniteForCausalLM, GraniteConfig(attention_multiplier=s["scale"], **common)
    return LlamaForCausalLM, LlamaConfig(attention_bias=s.get("biases", False), mlp_bias=s.get("biases", False), **common)


def draw(rng, name, shape):
    """Weights that make attention, gates and routers do something: unit-scale activations, sharp scores."""
    if name.endswith("norm.weight"):
        return (1.0 + 0.2 * rng.standard_normal(shape)).astype(np.float32)
    if name.endswith(".bias"):
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)
    gain = 2.0 if "q_proj" in name or "k_proj" in name or "qkv_proj" in name or "mlp.gate.weight" in name else 1.0
    if "embed_tokens" in name:
        return rng.standard_normal(shape).astype(np.float32)
    return (gain * rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


# Where quantizers turn for rows that no block of 256 divides
FALLBACK = {T.Q2_K: T.Q4_0, T.Q3_K: T.Q4_0, T.Q4_K: T.Q5_0, T.Q5_K: T.Q5_1, T.Q6_K: T.Q8_0, T.IQ4_XS: T.IQ4_NL}
# Types that the package only reads: where the scale stands, where the minimum and how many scales it is for a mean near 0
ONLY_READ = {T.Q2_K: (80, 82, 1.5), T.Q3_K: (108, None, 0), T.Q5_K: (0, 2, 15.5), T.IQ4_NL: (0, None, 0), T.IQ4_XS: (0, None, 0)}


def random_blocks_like(rng, kind, shape):
    """Random blocks of such a type, scaled by what the package makes of them."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows, cols = shape
    raw = rng.integers(0, 256, (rows, cols // block, size), dtype=np.uint8)
    at, at_min, ratio = ONLY_READ[kind]

    def scale(d):
        for where, value in ((at, d), (at_min, d * ratio)):
            if where is not None:
                raw[..., where:where + 2] = np.array([value], np.float16).view(np.uint8)
        return gguf.quants.dequantize(raw.reshape(rows, -1), kind)

    scale(1.0 / np.sqrt(cols) / scale(1.0).std())
    return raw.reshape(rows, -1)


def random_blocks(rng, kind, shape):
    """Random blocks of a K-quant (the package has no quantizer for them), scaled to a standard deviation of about 1 / sqrt(columns)."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows, cols = shape
    raw = rng.integers(0, 256, (rows, cols // block, size), dtype=np.uint8)
    half = lambda x: np.broadcast_to(np.array([x], np.float16).view(np.uint8), raw.shape[:2] + (2,))
    want = 1.0 / np.sqrt(cols)
    if kind == T.Q4_K:                                          # d * sc * q - dmin * mn: a mean near 0 with dmin = 7.5 d
        raw[..., 0:2], raw[..., 2:4] = half(want / 240), half(7.5 * want / 240)
    else:                                                       # Q6_K: d * sc * (q - 32)
        raw[..., 192:208] = (raw[..., 192:208].view(np.int8) // 4).view(np.uint8)
        raw[..., 208:210] = half(want / 340)
    return raw.reshape(rows, -1)


def permute(w, heads):
    """Rows of q and k from halves to pairs: new row 2j is old row j, 2j + 1 is j + d / 2."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def gguf_names(s):
    """(GGUF name without suffix, name in transformers, expert or None)"""
    names = [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm")]
    if not s.get("tied"):
        names.append(("output", "lm_head"))
    for i in range(s["layers"]):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        if s["arch"] == "phi3":
            names += [(b + g, h + t) for g, t in [
                ("attn_norm", "input_layernorm"), ("attn_qkv", "self_attn.qkv_proj"), ("attn_output", "self_attn.o_proj"),
                ("ffn_norm", "post_attention_layernorm"), ("ffn_up", "mlp.gate_up_proj"), ("ffn_down", "mlp.down_proj")]]
            continue
        names += [(b + g, h + t) for g, t in [
            ("attn_norm", "input_layernorm"), ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"), ("attn_v", "self_attn.v_proj"),
            ("attn_output", "self_attn.o_proj"), ("ffn_norm", "pre_feedforward_layernorm" if s["arch"] in ("gemma2", "gemma3") else "post_attention_layernorm")]]
        if s["arch"] in ("gemma2", "gemma3"):
            names += [(b + "post_attention_norm", h + "post_attention_layernorm"), (b + "post_ffw_norm", h + "post_feedforward_layernorm")]
        if s["arch"] in ("qwen3", "qwen3moe", "gemma3"):
            names += [(b + "attn_q_norm", h + "self_attn.q_norm"), (b + "attn_k_norm", h + "self_attn.k_norm")]
        if "ff_shared" in s:
            names += [(b + f"ffn_{g}_shexp", h + f"mlp.shared_expert.{g}_proj") for g in ("gate", "up", "down")]
            names += [(b + "ffn_gate_inp_shexp", h + "mlp.shared_expert_gate")]
        if "experts" in s:
            names += [(b + "ffn_gate_inp", h + "mlp.gate")]
        elif s["arch"] == "glm":
            names += [(b + "ffn_down", h + "mlp.down_proj")]
        else:
            names += [(b + g, h + "mlp." + t) for g, t in [("ffn_gate", "gate_proj"), ("ffn_up", "up_proj"), ("ffn_down", "down_proj")]]
    if s["arch"] in gguf.MODEL_ARCH_NAMES.values():             # as the format's own converter has them
        arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == s["arch"])
        known = gguf.get_tensor_name_map(arch, s["layers"])
        for g, h in names:
            assert known.get_name(h) in (g, None), (g, h)
    return names


def vocabulary(w):
    tokens = ["<unk>", "<s>", "</s>", "\u2581"] + [chr(c) for c in range(33, 127)] + ["\n", "\u00e9"]
    assert len(tokens) == N_VOCAB
    w.add_tokenizer_model("llama")
    w.add_token_list(tokens)
    w.add_token_scores([0.0] * 3 + [-float(i) for i in range(N_VOCAB - 3)])
    w.add_token_types([2, 3, 3] + [1] * (N_VOCAB - 3))
    w.add_unk_token_id(0)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(True)


def header(w, name, s):
    w.add_name(f"golden {name}")
    w.add_context_length(s["ctx"])
    w.add_embedding_length(s["dim"])
    w.add_block_count(s["layers"])
    w.add_feed_forward_length(s["ff"])
    w.add_head_count(s["heads"])
    w.add_head_count_kv(s["kv"])
    if s["arch"] != "phi3":
        w.add_key_length(s["head"])
        w.add_value_length(s["head"])
    w.add_rope_dimension_count(s.get("rot", s["head"]))
    if "window" in s:
        w.add_sliding_window(s["window"])
    if "scale" in s:
        w.add_attention_scale(s["scale"])
    w.add_rope_freq_base(s["theta"])
    w.add_layer_norm_rms_eps(s["eps"])
    w.add_vocab_size(N_VOCAB)
    w.add_quantization_version(2)
    if "experts" in s:
        w.add_expert_count(s["experts"])
        w.add_expert_used_count(s["used"])
    if "ff_expert" in s:
        w.add_expert_feed_forward_length(s["ff_expert"])
    if "ff_shared" in s:
        w.add_expert_shared_feed_forward_length(s["ff_shared"])
    if "softcaps" in s:
        w.add_attn_logit_softcapping(s["softcaps"][0])
        w.add_final_logit_softcapping(s["softcaps"][1])
    if "period" in s:
        w.add_sliding_window_pattern([kind == "sliding_attention" for kind in windowed(s)])
    if "local_theta" in s:
        w.add_rope_freq_base_swa(s["local_theta"])
    scaling = s.get("scaling", {})
    if s["arch"] == "phi3":                                         # as its converter writes it: mostly without a type
        w.add_rope_scaling_orig_ctx_len(scaling.get("original_max_position_embeddings", s["ctx"]))
        if scaling:
            w.add_rope_scaling_attn_factors(attention_factor(s))
        if s.get("named"):
            w.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
    if scaling.get("rope_type") in ("linear", "yarn"):
        w.add_rope_scaling_type(gguf.RopeScalingType(scaling["rope_type"]))
        w.add_rope_scaling_factor(scaling["factor"])
        if scaling["rope_type"] == "yarn":
            w.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    vocabulary(w)


def rope_factors(s):
    """Divisors of the frequencies, as the format's own converter writes them for Llama 3.1."""
    c = s["scaling"]
    length = 2 * np.pi * s["theta"] ** (np.arange(0, s["head"], 2) / s["head"])
    smooth = (c["original_max_position_embeddings"] / length - c["low_freq_factor"]) / (c["high_freq_factor"] - c["low_freq_factor"])
    smooth = np.clip(smooth, 0.0, 1.0)
    return (1.0 / ((1.0 - smooth) / c["factor"] + smooth)).astype(np.float32)


def long_factors(s):
    """Short and long divisors of LongRoPE: drawn, rising, the short ones near 1, each their own."""
    n = s.get("rot", s["head"]) // 2
    rng = np.random.default_rng(n)
    return [(1 + np.sort(rng.random(n)) * most).astype(np.float32) for most in (0.5, 12.0)]


def attention_factor(s):
    original = s["scaling"]["original_max_position_embeddings"]
    return math.sqrt(1 + math.log(s["ctx"] / original) / math.log(original))


class Maker:
    """Draws each weight, writes it in its GGUF type, and gives back what a reader of the file would see."""

    def __init__(self, writer, s, rng):
        self.writer, self.s, self.rng, self.matrices = writer, s, rng, 0

    def kind(self, columns):
        types = self.s.get("types", [T.F32])
        kind = types[self.matrices % len(types)]
        self.matrices += 1
        while columns % gguf.GGML_QUANT_SIZES[kind][0]:
            kind = FALLBACK[kind] if self.s.get("fallback") else T.Q8_0
        return kind

    def put(self, name, a, columns, fixed=None):
        """One tensor, of any rank; columns is its contiguous dimension."""
        kind = self.kind(columns) if fixed is None else fixed
        rows = a.reshape(-1, columns)
        if kind in (T.Q4_K, T.Q6_K):
            data = random_blocks(self.rng, kind, rows.shape)
        elif kind in ONLY_READ:
            data = random_blocks_like(self.rng, kind, rows.shape)
        else:
            data = gguf.quants.quantize(rows, kind)
        data = data.reshape(*a.shape[:-1], -1)
        self.writer.add_tensor(name, data, raw_dtype=kind)
        return gguf.quants.dequantize(data.reshape(rows.shape[0], -1), kind).astype(np.float32).reshape(a.shape)


def write_gold(path, model, tokens, positions):
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].numpy()
    positions = np.array(positions, np.int32)
    with open(path, "wb") as f:
        f.write(struct.pack("<8s4I", b"LMGOLD1\0", len(tokens), len(positions), N_VOCAB, 0))
        f.write(tokens.tobytes() + positions.tobytes() + logits[positions].astype("<f4").tobytes())
    return logits


def make(name, s, out, seed):
    rng = np.random.default_rng(seed)
    cls, cfg = config(s)
    model = cls(cfg).double().eval()
    state = model.state_dict()
    own = s["arch"].startswith(("gemma", "qwen", "phi3"))      # an architecture of the format; the others are written as llama
    writer = gguf.GGUFWriter(f"{out}/{name}.gguf", s["arch"] if own else "llama")
    header(writer, name, s)
    maker = Maker(writer, s, rng)
    loaded, fused = {}, {}
    for g, h in gguf_names(s):
        for suffix in ("weight", "bias"):
            key = f"{h}.{suffix}"
            if key not in state:
                continue
            shape = tuple(state[key].shape)
            a = draw(rng, key, shape[1:] if g.endswith("inp_shexp") else shape)     # the format drops dimensions of 1
            if "post_" in g:
                a *= np.float32(s.get("calm", 1.0))             # many layers that shout would blow up the last bit of the first
            heads = s["heads"] if g.endswith("attn_q") else s["kv"] if g.endswith("attn_k") else 0
            swap = heads and not own and s["arch"] != "glm"     # those rotate as stored
            a = permute(a, heads) if swap else a
            vector = a.ndim == 1 or g.endswith("ffn_gate_inp")
            if s.get("fused") and g.endswith(("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up")):
                to = g.split(".")[1], "attn_qkv" if "attn" in g else "ffn_up", suffix
                fused[to] = fused.get(to, []) + [a]             # written below, in one
                loaded[key] = unpermute(a, heads) if swap else a
                continue
            a = maker.put(f"{g}.{suffix}", a, a.shape[-1], s.get("vectors", T.F32) if vector else None)
            a = a.astype(np.float64) - 1 if gemma(s) and key.endswith("norm.weight") else a      # the original adds 1
            loaded[key] = unpermute(a, heads) if swap else a.reshape(shape)
    ff = s.get("ff_expert", s["ff"])
    for i in range(s["layers"] if "experts" in s else 0):
        b, h = f"blk.{i}.", f"model.layers.{i}.mlp.experts."
        parts = {}
        for g, rows, cols in [("ffn_gate", ff, s["dim"]), ("ffn_up", ff, s["dim"]), ("ffn_down", s["dim"], ff)]:
            a = draw(rng, "", (s["experts"], rows, cols))
            if s.get("split"):
                parts[g] = np.stack([maker.put(f"{b}{g}.{e}.weight", a[e], cols, T.F32) for e in range(s["experts"])])
            else:
                parts[g] = maker.put(f"{b}{g}_exps.weight", a, cols)
        loaded[h + "gate_up_proj"] = np.concatenate([parts["ffn_gate"], parts["ffn_up"]], axis=1)
        loaded[h + "down_proj"] = parts["ffn_down"]
    for i in range(s["layers"] if s["arch"] == "glm" else 0):
        pair = [maker.put(f"blk.{i}.{g}.weight", draw(rng, "", (s["ff"], s["dim"])), s["dim"]) for g in ("ffn_gate", "ffn_up")]
        loaded[f"model.layers.{i}.mlp.gate_up_proj.weight"] = np.concatenate(pair)
    for (i, g, suffix), rows in fused.items():
        writer.add_tensor(f"blk.{i}.{g}.{suffix}", np.concatenate(rows))
    if s.get("tied"):
        loaded["lm_head.weight"] = loaded["model.embed_tokens.weight"]
    if s.get("scaling", {}).get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", rope_factors(s))
    if s.get("scaling", {}).get("rope_type") == "longrope":
        assert abs(model.model.rotary_emb.attention_scaling - attention_factor(s)) < 1e-12
        for g, f in zip(("short", "long"), long_factors(s)):
            writer.add_tensor(f"rope_factors_{g}.weight", f)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    model.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v)).double() for k, v in loaded.items()}, strict=True)
    tokens = rng.integers(3, N_VOCAB, s.get("tokens", N_TOKENS)).astype(np.int32)
    tokens[0] = 1
    positions = [p for p in (POSITIONS if "experts" not in s else POSITIONS_SMALL) if p < len(tokens) - 1]
    logits = write_gold(f"{out}/{name}.gold", model, tokens, positions + [len(tokens) - 1])
    if "begin" in s:
        write_gold(f"{out}/{name}-begin.gold", model, tokens[:s["begin"]], [0, 1, 63, 64, s["begin"] - 1])
    print(f"{name}: {sum(v.size for v in loaded.values())} weights, max |logit| {np.abs(logits).max():.3f}, spread {logits.std():.3f}")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    torch.manual_seed(0)
    for name, s in MODELS.items():
        if len(sys.argv) == 2 or name == sys.argv[2]:
            make(name, s, sys.argv[1], zlib.crc32(name.encode()))


if __name__ == "__main__":
    main()
