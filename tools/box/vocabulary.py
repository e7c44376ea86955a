# SPDX-License-Identifier: MIT
"""The vocabulary of the model in the box: a byte-level BPE learned from the training text, with the splitter of Qwen 2 (GGUF: "qwen2").

The same count, seed and size give the same file, tokenizer.json: ids 0..2 are the special tokens, then the 256 bytes, then what was merged.

    python3 vocabulary.py --out tokenizer.json [--size 2048] [--documents 60000] [--seed 0]
"""
import argparse
import re

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def learn(size, documents, seed):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()

    def texts():
        for i in range(documents):
            for part, _ in corpus.document("train", seed, i)[1]:
                yield re.sub("|".join(map(re.escape, SPECIALS)), "", part)

    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[AddedToken(special, special=True, normalized=False) for special in SPECIALS],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), min_frequency=20, show_progress=False)
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--documents", type=int, default=60000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tokenizer = learn(args.size, args.documents, args.seed)
    tokenizer.save(args.out)
    print(f"{tokenizer.get_vocab_size()} ids in {args.out}")


if __name__ == "__main__":
    main()
