#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads a saved session by docs/SESSIONS.md alone and prints what is in it: a second pair of eyes on the format.

    python3 tools/read_session.py FILE [MODEL.gguf]

Every digest is computed anew; with MODEL.gguf (needs the gguf package) the fingerprints too. Exit status 1 if something is wrong.
"""
import struct
import sys

M = (1 << 64) - 1
O, P = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93


def step(lane, word):
    x = (lane ^ word) & M
    return (((x << 29) | (x >> 35)) & M) * O & M


def digest(data):
    lanes = [(i + 1) * P & M for i in range(4)]
    padded = data + bytes(32 - len(data) % 32)
    for at in range(0, len(padded), 32):
        lanes = [step(lane, word) for lane, word in zip(lanes, struct.unpack_from("<4Q", padded, at))]
    total = len(data) * P & M
    for lane in lanes:
        total = step(total, lane)
        total ^= total >> 32
    total = total * P & M
    return total ^ total >> 29


def text(data):
    return struct.pack("<Q", len(data)) + bytes(data)


def fingerprints(path):
    import gguf

    reader = gguf.GGUFReader(path)

    def key(field):
        types = [int(t) for t in field.types]
        item = types[-1]
        if item == 8:
            body = b"".join(text(bytes(field.parts[i])) for i in field.data)
        else:
            body = b"".join(bytes(field.parts[i]) for i in field.data)
        return text(field.name.encode()) + struct.pack("<IIQ", types[0], item, len(field.data)) + body

    fields = [f for f in reader.fields.values() if not f.name.startswith("GGUF.")]
    without = ("general.", "tokenizer.", "split.", "quantize.")
    model = b"".join(key(f) for f in fields if f.name == "general.architecture" or not f.name.startswith(without))
    n = min(len(reader.tensors), 256)
    samples = b""
    for tensor in reader.tensors:
        dims = [int(d) for d in tensor.shape] + [1] * (4 - len(tensor.shape))
        model += text(tensor.name.encode()) + struct.pack("<I4Q", int(tensor.tensor_type), *dims)
    for i in range(n):
        data = bytes(reader.tensors[i * len(reader.tensors) // n].data.tobytes())
        at = len(data) // 2 & ~63
        samples += data[at : at + 64]
    vocabulary = b"".join(key(reader.fields[k]) for k in ("tokenizer.ggml.model", "tokenizer.ggml.tokens") if k in reader.fields)
    return digest(model + struct.pack("<Q", digest(samples))), vocabulary


def main(argv):
    with open(argv[1], "rb") as file:
        data = file.read()
    wrong = []

    def check(holds, what):
        if not holds:
            wrong.append(what)

    magic, version, n_sections, size, arithmetic, state_type = struct.unpack_from("<8sIIQIi", data)
    model, vocabulary, n_tokens, n_evaluated, n_slid, n_reply = struct.unpack_from("<6Q", data, 32)
    n_ctx, n_vocab, seen = struct.unpack_from("<3I", data, 80)
    check(magic == b"llmsave\n" and version == 1, "magic or version")
    check(size == len(data), "size")
    check(struct.unpack_from("<Q", data, 120)[0] == digest(data[:120]), "digest of the header")
    print(f"version {version}, {n_sections} sections, {size} bytes, arithmetic {arithmetic}, state type {state_type}")
    print(f"model {model:016x}, vocabulary {vocabulary:016x}, {n_vocab} tokens in it")
    print(f"{n_tokens} tokens, {n_evaluated} taken in, {n_slid} dropped, {n_reply} of the last reply, context {n_ctx}, positions {seen}")
    at, last, names = 128, 0, {1: "tokens", 2: "memories", 3: "scores", 4: "logits", 5: "note", 6: "state", 0x80000007: "reply"}
    for _ in range(n_sections):
        kind, zero, length = struct.unpack_from("<IIQ", data, at)
        end = at + 16 + (length + 7) // 8 * 8
        body = data[at + 16 : at + 16 + length]
        check(kind > last and zero == 0, f"order of section {kind}")
        check(struct.unpack_from("<Q", data, end)[0] == digest(data[at:end]), f"digest of section {kind}")
        print(f"{names.get(kind, kind)}: {length} bytes", end="")
        if kind == 1:
            check(length == 4 * n_tokens, "tokens")
            print(":", *struct.unpack(f"<{n_tokens}i", body)[:8], "...")
        elif kind == 2:
            print(":", *struct.iter_unpack("<Iidd", body))
        elif kind == 4:
            check(length == 4 * n_vocab, "logits")
            print(f": largest {max(struct.unpack(f'<{n_vocab}f', body)):.6f}")
        elif kind == 5:
            print(":", body[:60])
        elif kind == 6:
            streams, classes = struct.unpack_from("<II", body)
            firsts = struct.unpack_from(f"<{classes}Q", body, 8 + 24 * streams)
            wanted = 8 + 24 * streams + 8 * classes
            for c, heads, k, v, keep, zero in struct.iter_unpack("<6I", body[8 : 8 + 24 * streams]):
                row = {0: 2 * (k + v), 1: 4 * (k + v), 2: k + v + 8}[state_type]
                wanted += (n_evaluated - firsts[c]) * heads * row
            check(wanted == length, "size of the state")
            print(f": {streams} streams in {classes} classes, from positions {firsts}")
        elif kind == 0x80000007:
            gone, unread, flags, zero = struct.unpack("<QQII", body)
            check(flags < 4 and zero == 0 and gone <= n_slid, "reply")
            print(f": {gone} tokens of it dropped, {unread} bytes not read, flags {flags}")
        else:
            print()
        at, last = end + 8, kind
    check(at == len(data), "bytes behind the last section")
    if len(argv) > 2:
        print_of_model, keys = fingerprints(argv[2])
        check(print_of_model == model, "fingerprint of the model")
        check(digest(struct.pack("<I", n_vocab) + keys) == vocabulary, "fingerprint of the vocabulary")
    for what in wrong:
        print("WRONG:", what)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
