# SPDX-License-Identifier: MIT
"""The documents the model in the box is trained on, and those held out: a story by itself, or a conversation.

Document i of a split and seed is always the same one. A document is (kind, parts): parts are (text, answer), where answer says whether the text
is the model's own part, and their texts together are the document; each ends with <|endoftext|>. Held-out documents have names, things and
combinations that training never has (see world.held).

    python3 corpus.py --split train --count 1000 --seed 0 --out docs.jsonl      writes documents, prints counts
"""
import argparse
import collections
import contextlib
import json
import random

import stories
import talks

END = "<|endoftext|>"
STORY_SHARE = 0.22


def messages_parts(messages):
    parts = []
    for role, text in messages:
        answer = role == "assistant"
        parts += [(f"<|im_start|>{role}\n", False), (f"{text}<|im_end|>" if answer else f"{text}<|im_end|>\n", answer)]
        if answer:
            parts.append(("\n", False))
    return parts


def document(split, seed, i):
    rng = random.Random(f"{split}:{seed}:{i}")
    heldout = split == "heldout"
    if rng.random() < STORY_SHARE:
        return "tale", [(stories.story(rng, heldout), True), (END, True)]
    kind, messages = talks.talk(rng, heldout)
    return kind, [*messages_parts(messages), (END, True)]


def examples(seed, kind, count, heldout=True):
    """Conversations of one kind, held out or as in training: (messages up to the answer, the answer). For measuring."""
    out, asked = [], set()
    i = 0
    make = {"question": "facts", "unknown": "facts"}.get(kind, kind)
    while len(out) < count and i < 100 * count:
        got, messages = talks.talk(random.Random(f"examples:{seed}:{kind}:{i}"), heldout, make)
        i += 1
        key = str(messages[:-1])
        if got == kind and key not in asked:
            asked.add(key)
            out.append((messages[:-1], messages[-1][1]))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=["train", "heldout"], default="train")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="JSON lines: kind and text")
    args = parser.parse_args()
    counts, words = collections.Counter(), collections.Counter()
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(open(args.out, "w", encoding="utf-8")) if args.out else None
        for i in range(args.count):
            kind, parts = document(args.split, args.seed, i)
            text = "".join(part for part, _ in parts)
            counts[kind] += 1
            words[kind] += len(text.split())
            if out:
                out.write(json.dumps({"kind": kind, "text": text}) + "\n")
    for kind, count in counts.most_common():
        print(f"{kind:10} {count:8} documents {words[kind]:10} words")


if __name__ == "__main__":
    main()
