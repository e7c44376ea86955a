#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes Llama 3's vocabulary as converters do, without tensors: 128000 tokens, 256 special ones, 280147 merges.

    python3 tests/bench/make_vocab.py llama3.tiktoken OUT.gguf

The ranks are lines of base64 and a number. A token's merges are all its cuts into two tokens, by the left one's rank, then the right one's.
"""
import base64
import sys

import gguf


def byte_characters():
    shown = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return {b: chr(b) for b in shown} | {b: chr(256 + i) for i, b in enumerate(hidden)}


def main():
    ranks = {}
    with open(sys.argv[1], "rb") as lines:
        for line in lines:
            token, rank = line.split()
            ranks[base64.b64decode(token)] = int(rank)
    characters = byte_characters()

    def text(token):
        return "".join(characters[b] for b in token)

    merges = []
    for token in ranks:
        cuts = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        merges += [f"{text(a)} {text(b)}" for a, b in sorted(cuts, key=lambda cut: (ranks[cut[0]], ranks[cut[1]]))]
    special = {0: "<|begin_of_text|>", 1: "<|end_of_text|>", 4: "<|finetune_right_pad_id|>", 6: "<|start_header_id|>", 7: "<|end_header_id|>",
               8: "<|eom_id|>", 9: "<|eot_id|>", 10: "<|python_tag|>"}
    added = [special.get(i, f"<|reserved_special_token_{i}|>") for i in range(256)]
    w = gguf.GGUFWriter(sys.argv[2], "llama")
    w.add_name("llama-bpe")
    w.add_block_count(32)
    w.add_context_length(8192)
    w.add_embedding_length(4096)
    w.add_feed_forward_length(14336)
    w.add_head_count(32)
    w.add_head_count_kv(8)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(128)
    w.add_rope_freq_base(500000.0)
    w.add_file_type(1)
    w.add_vocab_size(len(ranks) + len(added))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("llama-bpe")
    w.add_token_list([text(t) for t in ranks] + added)
    w.add_token_types([gguf.TokenType.NORMAL] * len(ranks) + [gguf.TokenType.CONTROL] * len(added))
    w.add_token_merges(merges)
    w.add_bos_token_id(len(ranks))
    w.add_eos_token_id(len(ranks) + 9)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
