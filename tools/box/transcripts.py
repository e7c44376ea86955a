# SPDX-License-Identifier: MIT
"""Writes the golden transcripts of the model in the box: what libllm answers greedily, as far as the choice is clear.

A token's choice is clear when PyTorch, with the F32 weights, chooses the same as libllm with the committed file, at least --margin logits before the
second: no other order of adding, no other type of state or weights turns such a choice over. Answers are taken when they are right and clear to their
end; stories as far as they are clear, from --least tokens on.

    python3 transcripts.py --weights final.pt --tokenizer tokenizer.json --libllm build/libllm --gguf examples/box/box-q8_0.gguf \\
        --out tests/golden/box_transcripts.txt

A line `P text` is a prompt. The line after it is the reply, `E text` to its end, or `C count text`, cut after so many tokens. In texts \\n stands for
a new line and \\\\ for a backslash.
"""
import argparse
import random

import torch
from tokenizers import Tokenizer

import corpus
import stories
from evaluate import KINDS, LONGEST, prompt_of, right
from export import libllm_reply, load


@torch.no_grad()
def clear(model, prompt, said, ends, margin):
    """How many of the reply's tokens are clear choices, from the first on; one more if the end after them is clear too."""
    logits = model(torch.tensor([prompt + said]))[0, len(prompt) - 1:]
    for i, row in enumerate(logits):
        best = row.topk(2)
        first = best.indices[0].item()
        if (first not in ends if i == len(said) else first != said[i]) or best.values[0] - best.values[1] < margin:
            return i
    return len(said) + 1


def escaped(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ["weights", "tokenizer", "libllm", "gguf", "out"]:
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--each", type=int, default=3, help="conversations of a kind")
    parser.add_argument("--margin", type=float, default=0.5)
    parser.add_argument("--least", type=int, default=16)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(args.tokenizer)
    ends = {tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>")}
    model = load(args.weights)
    with open(args.out, "w", encoding="utf-8", newline="\n") as out:
        for kind in ["plain", *KINDS]:
            if kind == "plain":                                  # the first half of a story's sentences, to be told to its end
                tales = (stories.story(random.Random(f"transcript:{i}"), False) for i in range(20 * args.each))
                halves = (". ".join(tale.split(". ")[: tale.count(". ") // 2]) + "." for tale in tales)
                candidates = [(half, None, None) for half in halves]
            else:
                candidates = [(prompt_of(messages), messages, expected) for messages, expected in corpus.examples(2, kind, 20 * args.each)]
            found, tried = 0, 0
            for prompt, messages, expected in candidates:
                reply = libllm_reply(args.libllm, args.gguf, prompt, LONGEST, "-c", "512").removesuffix("\n")
                ids = tokenizer.encode(reply).ids
                sure = clear(model, tokenizer.encode(prompt).ids, ids, ends, args.margin)
                tried += 1
                if sure > len(ids) and (kind == "plain" or right(kind, messages, expected, reply, True)):
                    out.write(f"P {escaped(prompt)}\nE {escaped(reply)}\n")
                elif kind in ("plain", "story") and args.least <= sure <= len(ids):
                    out.write(f"P {escaped(prompt)}\nC {sure} {escaped(tokenizer.decode(ids[:sure]))}\n")
                else:
                    continue
                found += 1
                if found == args.each:
                    break
            print(f"{kind}: {found} of {tried} tried", flush=True)


if __name__ == "__main__":
    main()
