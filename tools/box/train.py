# SPDX-License-Identifier: MIT
"""Trains the model in the box on two cores. Seeded and resumable: batch k is always the same documents, a checkpoint is written every few
minutes and on SIGTERM or SIGINT, and the same command goes on from it.

    python3 train.py --run DIR --tokenizer tokenizer.json [--tokens 13.5e6]

Writes DIR/checkpoint.pt (weights, optimizers, step; replaced in one step), DIR/log.jsonl, DIR/final.pt (weights and shape) at the end.
The rate warms up, stays, and falls to zero in the last part (a third): so --tokens may be changed on resuming until that part has begun.
"""
import argparse
import dataclasses
import json
import os
import signal
import time

import numpy
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import corpus
from model import Model, Shape, document_mask

BATCH_DOCUMENTS = 1 << 20                                        # document numbers of a batch start at its number times this


class Batches:
    """Batch k of a split: rows of whole documents, the same for the same (split, seed, k). With `halved`, three batches in four have twice as many
    rows of half the context, which leaves out their longest documents: attention over a whole row takes much of the time, and most are short."""

    def __init__(self, tokenizer, split, seed, rows, context, user_weight, halved=False):
        self.tokenizer, self.split, self.seed, self.rows, self.context, self.user_weight = tokenizer, split, seed, rows, context, user_weight
        self.halved = halved

    def encode(self, i):
        ids, weights = [], []
        for text, answer in corpus.document(self.split, self.seed, i)[1]:
            part = self.tokenizer.encode(text).ids
            ids += part
            weights += [1.0 if answer else self.user_weight] * len(part)
        return ids, weights

    def __getitem__(self, k):
        part = 2 if self.halved and k % 4 else 1
        rows, size = self.rows * part, self.context // part + 1   # a row's last token is only a target
        ids = numpy.zeros((rows, size), numpy.int64)
        weights = numpy.zeros((rows, size), numpy.float32)
        document = numpy.full((rows, size), -1, numpy.int64)
        filled, i, misses = [0] * rows, k * BATCH_DOCUMENTS, 0
        while misses < 12:
            doc, weight = self.encode(i)
            i += 1
            room = [r for r in range(rows) if filled[r] + len(doc) <= size]
            if not room:
                misses += 1
                continue
            r = max(room, key=lambda row: filled[row])
            span = slice(filled[r], filled[r] + len(doc))
            ids[r, span], weights[r, span], document[r, span] = doc, weight, i
            weights[r, filled[r]] = 0                            # nothing before it to tell a document's first token from
            filled[r] += len(doc)
        weight = torch.from_numpy(weights[:, 1:])
        return torch.from_numpy(ids[:, :-1]), torch.from_numpy(ids[:, 1:]), weight, document_mask(torch.from_numpy(document[:, :-1])), sum(filled)


def losses(model, batch, bf16):
    ids, targets, weight, mask, _ = batch
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(ids, mask)
    each = F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.reshape(-1), reduction="none")
    return (each * weight.reshape(-1)).sum(), weight.sum()


def rate(args, tokens):
    warm, fall = min(args.warm, args.tokens / 10), args.fall * args.tokens
    return args.rate * min(1.0, tokens / warm, max(0.0, (args.tokens - tokens) / fall))


def optimizers(model, args):
    """Muon for the matrices (in steps as large as AdamW's), AdamW for the embedding and the norms."""
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() == 1 or "embed" in n]
    return [torch.optim.Muon(matrices, lr=args.rate, weight_decay=args.decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=args.rate, betas=(0.9, 0.95), weight_decay=0.0)]


def save(path, what):
    torch.save(what, path + ".new")
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="folder of checkpoints and log")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--tokens", type=float, default=13.5e6, help="training tokens, all in all")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warm", type=float, default=300e3, help="tokens until the rate is full")
    parser.add_argument("--fall", type=float, default=0.35, help="the part of all tokens in which the rate falls to zero")
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--user-weight", type=float, default=0.2, help="weight of the loss on what the user says")
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-minutes", type=float, default=4)
    parser.add_argument("--eval-every", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=1e9, help="save and stop after so many")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    os.makedirs(args.run, exist_ok=True)
    tokenizer = Tokenizer.from_file(args.tokenizer)
    shape = Shape(vocab=tokenizer.get_vocab_size(), layers=args.layers)
    model = Model(shape)
    opts = optimizers(model, args)
    train = Batches(tokenizer, "train", args.seed, args.rows, shape.context, args.user_weight, halved=True)
    held = Batches(tokenizer, "heldout", args.seed, 8, shape.context, 0.0)
    held = [held[k] for k in range(4)]
    checkpoint, log_path = os.path.join(args.run, "checkpoint.pt"), os.path.join(args.run, "log.jsonl")
    step, tokens, seconds = 0, 0, 0.0
    if os.path.exists(checkpoint):
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for opt, one in zip(opts, state["opts"]):
            opt.load_state_dict(one)
        step, tokens, seconds = state["step"], state["tokens"], state["seconds"]
        print(f"goes on at step {step}, {tokens} tokens", flush=True)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {shape}", flush=True)
    run = torch.compile(model, dynamic=False) if args.compile else model
    bf16 = args.precision == "bf16"
    stop = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.append(1))

    def keep():
        save(checkpoint, {"model": model.state_dict(), "opts": [opt.state_dict() for opt in opts], "step": step, "tokens": tokens, "seconds": seconds})

    def log(**what):
        line = json.dumps(what)
        print(line, flush=True)
        with open(log_path, "a", encoding="utf-8") as out:
            out.write(line + "\n")

    began = saved = time.monotonic()
    while tokens < args.tokens and not stop and time.monotonic() - began < args.minutes * 60:
        start = time.monotonic()
        batch = train[step]
        now = rate(args, tokens + batch[4])
        for group in (group for opt in opts for group in opt.param_groups):
            group["lr"] = now
        loss, weight = losses(run, batch, bf16)
        (loss / weight).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        step, tokens = step + 1, tokens + batch[4]
        seconds += time.monotonic() - start
        if step % 20 == 0:
            log(step=step, tokens=tokens, loss=round((loss / weight).item(), 4), norm=round(norm.item(), 3), rate=round(now, 6),
                per_second=round(batch[4] / (time.monotonic() - start)), seconds=round(seconds))
        if step % args.eval_every == 0 or tokens >= args.tokens:
            with torch.no_grad():
                sums = [losses(run, one, bf16) for one in held]
            log(step=step, tokens=tokens, heldout=round((sum(a for a, _ in sums) / sum(b for _, b in sums)).item(), 4))
        if time.monotonic() - saved > args.save_minutes * 60:
            keep()
            saved = time.monotonic()
    keep()
    if tokens >= args.tokens:
        save(os.path.join(args.run, "final.pt"), {"model": model.state_dict(), "shape": dataclasses.asdict(shape), "tokens": tokens})
    print("done" if tokens >= args.tokens else "stopped", flush=True)


if __name__ == "__main__":
    main()
