#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes src/text/unicode_tables.inc: the general category of every code point, as far as pre-tokenizers ask for it, and the
characters that two of them ask for by other properties.

Classes: see CLASSES, in the order of src/text/unicode.h. They exclude one another; white space is the property White_Space,
which \\s means in the regular expressions of tokenizers: every such character is Zs, Zl, Zp or Cc.

Two levels: a block of 2^BITS code points -> one of the distinct blocks -> 4 bits a character. The properties come from the
`regex` module, whose Unicode is newer than unicodedata's.

    tools/gen_unicode.py > src/text/unicode_tables.inc
"""
import sys

import regex

CLASSES = [(r"\p{Lu}\p{Lt}", 1), (r"\p{Ll}", 2), (r"\p{Lm}\p{Lo}", 3), (r"\p{Nd}", 4), (r"\p{Nl}\p{No}", 5), (r"\p{M}", 6),
           (r"\p{P}", 7), (r"\p{S}", 8), (r"\p{White_Space}", 9)]
TEXT = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def members(expression):
    return {ord(c) for c in regex.findall("[%s]" % expression, TEXT)}


table = bytearray(0x110000)
for expression, value in CLASSES:
    for c in members(expression):
        assert table[c] == 0
        table[c] = value


def layout(bits, limit):
    blocks, index = {}, []
    for start in range(0, limit, 1 << bits):
        block = bytes(table[start:start + (1 << bits)])
        index.append(blocks.setdefault(block, len(blocks)))
    return blocks, index


def ranges(chars):
    found = []
    for c in sorted(chars):
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


def emit(name, kind, data, storage="static "):
    print("%sconst %s %s[%d] = {" % (storage, kind, name, len(data)))
    line = "   "
    for value in data:
        if len(line) + len(str(value)) + 1 > 140:
            print(line)
            line = "   "
        line += "%s," % value
    print(line)
    print("};")


def emit_ranges(name, chars):
    emit(name, "lm_range", ["{0x%x,0x%x}" % tuple(r) for r in ranges(chars)])


limit = 0x110000
while not any(table[limit - 0x100:limit]):
    limit -= 0x100
bits = min((b for b in range(5, 10) if len(layout(b, limit)[0]) <= 256),
           key=lambda b: len(layout(b, limit)[1]) + len(layout(b, limit)[0]) * (1 << b) // 2)
blocks, index = layout(bits, limit)
packed = bytearray()
for block in blocks:
    packed += bytes(block[i] | block[i + 1] << 4 for i in range(0, len(block), 2))

# Oniguruma's \w, beyond letters, marks and decimal digits: it counts all the numbers of Latin-1.
words = members(r"\p{Alphabetic}\p{Pc}") | {0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE}

print("/* SPDX-License-Identifier: MIT")
print(" * Made by tools/gen_unicode.py (regex %s): do not edit. */" % regex.__version__)
print("enum { UNICODE_BITS = %d, UNICODE_END = 0x%x };" % (bits, limit))
emit("unicode_index", "uint8_t", index)
emit("unicode_blocks", "uint8_t", packed)
emit("lm_unicode_ascii", "uint16_t", [1 << c for c in table[:128]] + [0] * 128, "")
emit_ranges("unicode_han", members(r"\p{Han}"))
emit_ranges("unicode_words", words - members(r"\p{L}\p{M}\p{Nd}"))
print("%d bytes" % (len(index) + len(packed)), file=sys.stderr)
