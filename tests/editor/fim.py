# SPDX-License-Identifier: MIT
"""A model that knows the tokens for filling in, made of one that does not: three of its tokens, for bytes that no text has, get other
names, or the file says by keys which ones they are. It has learnt nothing of it, so only the prompt means anything."""
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
NAMES = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
NEVER = ["\u00c0", "\u00c1", "\u00ff"]      # how byte-level vocabularies write the bytes C0, C1 and FF: no UTF-8 has them


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, size):
        self.at += size
        return int.from_bytes(self.data[self.at - size:self.at], "little")

    def string(self):
        n = self.number(8)
        self.at += n
        return self.data[self.at - n:self.at]

    def skip(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            kind, n = self.number(4), self.number(8)
            for _ in range(n):
                self.skip(kind)
        else:
            self.at += SIZES[kind]


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def with_fim(path, out, keys=(), swap=None):
    """keys: of the three, what stands after "tokenizer.ggml."; without: the tokens are to be known by their names. swap: two tokens, each of
    which the model then says where it meant the other. Returns the ids of the three."""
    r = Reader(open(path, "rb").read())
    assert r.number(4) == 0x46554747
    version, n_tensors, n_keys = r.number(4), r.number(8), r.number(8)
    metadata, ids, alignment = b"", [], 32
    for _ in range(n_keys):
        begin = r.at
        key, kind = r.string().decode(), r.number(4)
        if key == "tokenizer.ggml.tokens":
            assert (r.number(4), kind) == (STRING, ARRAY)
            n = r.number(8)
            tokens = [r.string().decode() for _ in range(n)]
            ids = [tokens.index(text) for text in NEVER]
            if not keys:
                for id, name in zip(ids, NAMES):
                    tokens[id] = name
            if swap:
                a, b = (tokens.index(text) for text in swap)
                tokens[a], tokens[b] = tokens[b], tokens[a]
            metadata += string(key) + struct.pack("<IIQ", ARRAY, STRING, n) + b"".join(map(string, tokens))
            continue
        r.skip(kind)
        if key == "general.alignment":
            alignment = int.from_bytes(r.data[r.at - 4:r.at], "little")
        metadata += r.data[begin:r.at]
    for key, id in zip(keys, ids):
        metadata += string("tokenizer.ggml." + key) + struct.pack("<II", 4, id)
    begin = r.at
    for _ in range(n_tensors):
        r.string()
        dims = r.number(4)
        r.at += 8 * dims + 4 + 8
    tensors, data = r.data[begin:r.at], r.data[-(-r.at // alignment) * alignment:]
    head = struct.pack("<IIQQ", 0x46554747, version, n_tensors, n_keys + len(keys)) + metadata + tensors
    with open(out, "wb") as file:
        file.write(head + b"\0" * (-len(head) % alignment) + data)
    return ids
