#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reference figures for `libllm perplexity`: a llama model of a GGUF file run by `transformers` in float64, on a text cut by SentencePiece.

    gen_perplexity.py TEXT MODEL.gguf N_CTX N_WINDOWS [...] > tests/tool/perplexity.tsv

prints one line a model: file name, n_ctx, windows (0: all of the text), tokens scored, mean negative log-likelihood, perplexity. Windows stand
side by side, begin with BOS, and their second halves are scored, as the tool's help says. Needs torch, transformers, gguf and sentencepiece.
"""
import math
import pathlib
import sys

import gguf
import numpy
import sentencepiece
import torch
from sentencepiece import sentencepiece_model_pb2
from transformers import LlamaConfig, LlamaForCausalLM

BATCH = 16


def field(reader, key):
    return reader.fields[key].contents()


def cut(reader, text):
    """Token ids of a SentencePiece BPE model with the file's pieces and scores."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
    proto.trainer_spec.byte_fallback = any(t == gguf.TokenType.BYTE for t in field(reader, "tokenizer.ggml.token_type"))
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.remove_extra_whitespaces = False
    proto.normalizer_spec.add_dummy_prefix = True
    for piece, score, kind in zip(field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.scores"),
                                  field(reader, "tokenizer.ggml.token_type")):
        proto.pieces.add(piece=piece, score=score, type=int(kind))
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString()).encode(text)


def load(reader):
    def key(name):
        return field(reader, "llama." + name)
    heads, heads_kv, width = key("attention.head_count"), key("attention.head_count_kv"), key("embedding_length")
    tensors = {t.name: torch.from_numpy(numpy.array(t.data, dtype=numpy.float64)) for t in reader.tensors}

    def halves(w, n):                   # GGUF holds the rows of Wq and Wk for rope by pairs; transformers rotates halves
        return w.reshape(n, w.shape[0] // n // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
    config = LlamaConfig(
        vocab_size=len(field(reader, "tokenizer.ggml.tokens")), hidden_size=width, intermediate_size=key("feed_forward_length"),
        num_hidden_layers=key("block_count"), num_attention_heads=heads, num_key_value_heads=heads_kv, rope_theta=key("rope.freq_base"),
        rms_norm_eps=key("attention.layer_norm_rms_epsilon"), max_position_embeddings=1 << 16, tie_word_embeddings="output.weight" not in tensors)
    model = LlamaForCausalLM(config).double().eval()
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    parts = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down"}
    for i in range(config.num_hidden_layers):
        for theirs, ours in parts.items():
            names[f"model.layers.{i}.{theirs}.weight"] = f"blk.{i}.{ours}.weight"
    state = {}
    for theirs, ours in names.items():
        w = tensors.get(ours, tensors["token_embd.weight"])
        w = halves(w, heads) if "q_proj" in theirs else halves(w, heads_kv) if "k_proj" in theirs else w
        state[theirs] = w
    model.load_state_dict(state)
    return model


def main():
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    print("# file, n_ctx, windows (0: all), tokens scored, mean negative log-likelihood, perplexity: " + pathlib.Path(sys.argv[1]).name)
    for path, n_ctx, wanted in zip(sys.argv[2::3], map(int, sys.argv[3::3]), map(int, sys.argv[4::3])):
        reader = gguf.GGUFReader(path)
        bos = field(reader, "tokenizer.ggml.bos_token_id")
        model, ids = load(reader), [bos] + cut(reader, text)
        windows = torch.tensor(ids[:len(ids) // n_ctx * n_ctx]).reshape(-1, n_ctx)
        windows = windows[:wanted] if wanted else windows
        windows[:, 0] = bos
        first, total, n = n_ctx // 2 + 1, 0.0, 0
        with torch.no_grad():
            for i in range(0, len(windows), BATCH):
                batch = windows[i:i + BATCH]
                log_p = torch.log_softmax(model(batch).logits[:, :-1].double(), dim=-1)
                nll = -log_p.gather(2, batch[:, 1:, None])[:, first - 1:, 0]
                total += nll.sum().item()
                n += nll.numel()
        print(f"{pathlib.Path(path).name}\t{n_ctx}\t{wanted}\t{n}\t{total / n:.9f}\t{math.exp(total / n):.7f}", flush=True)


if __name__ == "__main__":
    main()
