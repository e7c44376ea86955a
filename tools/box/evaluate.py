# SPDX-License-Identifier: MIT
"""Measures the model in the box on held-out documents, by PyTorch and by libllm side by side, and prints a table (Markdown). Its first line is of
documents as in training (other ones, but of the same words), to be compared with the second.

Perplexity: of the held-out text written to a file, in windows of 512 tokens whose second halves are scored (as llama.cpp's tool and
`libllm perplexity` do), by both, for each file and each type of state. Accuracy: held-out conversations of each kind, answered greedily; right is
what equals the expected answer. A story is right when it ends by itself, names everything that was asked for, and says no sentence of five words or
more twice.

    python3 evaluate.py --weights final.pt --tokenizer tokenizer.json --libllm build/libllm --gguf box-f32.gguf box-q8_0.gguf ... [--each 50]
"""
import argparse
import collections
import concurrent.futures
import json
import math
import os
import re
import subprocess
import tempfile

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import corpus
import talks
from export import greedy, libllm_reply, load, load_gguf

KINDS = ["greet", "question", "unknown", "beyond", "add", "compare", "json", "story"]
WINDOW = 512
LONGEST = 400                                                    # tokens of an answer
STOP_WORDS = {"tell", "me", "a", "an", "story", "about", "please", "can", "you", "i", "would", "like", "write", "short", "with", "called", "the", "and", "in", "on", "by", "at"}


def text_of(split, documents):
    return "".join("".join(part for part, _ in corpus.document(split, 1, i)[1]) for i in range(documents))


@torch.no_grad()
def perplexity(model, ids):
    total, count = 0.0, 0
    for start in range(0, len(ids) - WINDOW + 1, WINDOW):
        window = torch.tensor([ids[start:start + WINDOW]])
        logits = model(window)[0, WINDOW // 2:-1]
        total += F.cross_entropy(logits.double(), window[0, WINDOW // 2 + 1:], reduction="sum").item()
        count += len(logits)
    return math.exp(total / count)


def libllm_perplexity(program, model_path, text_path, *options):
    command = [program, "perplexity", "-m", model_path, "-f", text_path, "-c", str(WINDOW), "--json", "-q", "--parse-special", *options]
    result = subprocess.run(command, capture_output=True, check=True, text=True)
    return json.loads(result.stdout)["perplexity"]


def story_is_right(asked, told, ended):
    """Ends by itself, names what was asked for, repeats no sentence."""
    wanted = [word for word in re.findall(r"\w+", asked) if word.lower() not in STOP_WORDS]
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", told) if len(s.split()) >= 5]
    return ended and all(word.lower() in told.lower() for word in wanted) and len(sentences) == len(set(sentences)) and len(told.split()) >= 50


def right(kind, messages, expected, reply, ended):
    return story_is_right(messages[-1][1], reply, ended) if kind == "story" else ended and reply.strip() == expected


def prompt_of(messages):
    return talks.render(messages) + "<|im_start|>assistant\n"


def torch_reply(model, tokenizer, ends, prompt, guess=""):
    ids = tokenizer.encode(prompt).ids
    out = greedy(model, ids, LONGEST, ends, tokenizer.encode(guess).ids)
    return tokenizer.decode(out), len(out) < LONGEST and len(ids) + len(out) < model.s.context


def program_reply(program, path, tokenizer, prompt, *options):
    reply = libllm_reply(program, path, prompt, LONGEST, "-c", "512", *options).removesuffix("\n")
    return reply, len(tokenizer.encode(reply).ids) < LONGEST - 2


def accuracy(answer, examples, threads):
    """answer(prompt) gives (reply, ended). Returns kind: number right, and the first wrong reply of each."""
    score, wrong = collections.Counter(), {}
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        replies = pool.map(lambda e: answer(prompt_of(e[1])), examples)
        for (kind, messages, expected), (reply, ended) in zip(examples, replies, strict=True):
            good = right(kind, messages, expected, reply, ended)
            score[kind] += good
            if not good:
                wrong.setdefault(kind, (messages[-1][1], expected[:120], reply[:120]))
    return score, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--libllm", help="the program; without it PyTorch alone is measured")
    parser.add_argument("--gguf", nargs="*", default=[], help="files made from the weights; the first one in F32")
    parser.add_argument("--states", nargs="*", default=["f32", "f16", "int8"], help="types of state to measure the first file with; the others use f16")
    parser.add_argument("--each", type=int, default=50, help="conversations of a kind")
    parser.add_argument("--documents", type=int, default=400, help="held-out documents for the perplexity")
    parser.add_argument("--wrong", action="store_true", help="show a wrong answer of each kind")
    args = parser.parse_args()
    torch.set_num_threads(2)
    tokenizer = Tokenizer.from_file(args.tokenizer)
    ends = {tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>")}
    model = load(args.weights)
    examples, known = ([(kind, messages, expected) for kind in KINDS for messages, expected in corpus.examples(1, kind, args.each, held)] for held in (True, False))
    text = text_of("heldout", args.documents)
    print(f"| words | by | weights | state | perplexity | {' | '.join(KINDS)} |\n|---|---|---|---|---:|{'---:|' * len(KINDS)}", flush=True)

    def row(words, examples, by, weights, state, ppl, answer, threads):
        score, wrong = accuracy(answer, examples, threads)
        counts = collections.Counter(kind for kind, _, _ in examples)
        print(f"| {words} | {by} | {weights} | {state} | {ppl:.4f} | " + " | ".join(f"{100 * score[k] / counts[k]:.0f} %" for k in KINDS) + " |", flush=True)
        for kind, (ask, expected, reply) in wrong.items() if args.wrong else []:
            print(f"    {kind}: {ask!r}\n        expected {expected!r}\n        got      {reply!r}")

    def torch_row(words, examples, text, model, weights, path):
        def reply(prompt):
            guess = program_reply(args.libllm, path, tokenizer, prompt)[0] if args.libllm and path else ""
            return torch_reply(model, tokenizer, ends, prompt, guess)
        row(words, examples, "PyTorch", weights, "f32", perplexity(model, tokenizer.encode(text).ids), reply, 1)

    for words, asked, seen in ("known", known, text_of("train", args.documents)), ("held out", examples, text):
        torch_row(words, asked, seen, model, "F32", args.gguf[0] if args.gguf else None)
    with tempfile.TemporaryDirectory() as folder:
        text_path = os.path.join(folder, "text.txt")
        with open(text_path, "w", encoding="utf-8") as out:
            out.write(text)
        for n, path in enumerate(args.gguf if args.libllm else []):
            for state in args.states if n == 0 else ["f16"]:
                options = ["--state-type", state]
                row("held out", examples, "libllm", os.path.basename(path).removesuffix(".gguf"), state, libllm_perplexity(args.libllm, path, text_path, *options),
                    lambda p, path=path, options=options: program_reply(args.libllm, path, tokenizer, p, *options), 2)
            if n != 0:
                torch_row("held out", examples, text, load_gguf(path), os.path.basename(path).removesuffix(".gguf"), path)


if __name__ == "__main__":
    main()
