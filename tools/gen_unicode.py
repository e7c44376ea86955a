#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes src/text/unicode_tables.inc: the general category of every code point, as far as pre-tokenizers ask for it.

Classes: 0 other, 1 letter, 2 number, 3 mark, 4 punctuation, 5 symbol, 6 white space (the property White_Space, which \\s means
in the regular expressions of tokenizers). They exclude one another: every white-space character is Zs, Zl, Zp or Cc.

Two levels: a block of 2^BITS code points -> one of the distinct blocks -> 4 bits a character. The categories come from the
`regex` module if it is there (its Unicode is newer), else from unicodedata.

    tools/gen_unicode.py > src/text/unicode_tables.inc
"""
import sys
import unicodedata

WHITE = {*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
LETTERS = {"L": 1, "N": 2, "M": 3, "P": 4, "S": 5}


def classes_of_regex(regex):
    table = bytearray(0x110000)
    text = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    for name, value in LETTERS.items():
        for match in regex.finditer(r"\p{%s}" % name, text):
            table[ord(match.group())] = value
    return table


def classes_of_unicodedata():
    return bytearray(LETTERS.get(unicodedata.category(chr(c))[0], 0) for c in range(0x110000))


try:
    import regex
    table, source = classes_of_regex(regex), "regex " + regex.__version__
except ImportError:
    table, source = classes_of_unicodedata(), "unicodedata " + unicodedata.unidata_version
for c in WHITE:
    assert table[c] == 0
    table[c] = 6


def layout(bits, limit):
    blocks, index = {}, []
    for start in range(0, limit, 1 << bits):
        block = bytes(table[start:start + (1 << bits)])
        index.append(blocks.setdefault(block, len(blocks)))
    return blocks, index


limit = 0x110000
while not any(table[limit - 0x100:limit]):
    limit -= 0x100
bits = min((b for b in range(5, 10) if len(layout(b, limit)[0]) <= 256),
           key=lambda b: len(layout(b, limit)[1]) + len(layout(b, limit)[0]) * (1 << b) // 2)
blocks, index = layout(bits, limit)


def emit(name, data, storage="static "):
    print("%sconst uint8_t %s[%d] = {" % (storage, name, len(data)))
    line = "   "
    for value in data:
        if len(line) + len(str(value)) + 1 > 140:
            print(line)
            line = "   "
        line += "%d," % value
    print(line)
    print("};")


print("/* SPDX-License-Identifier: MIT")
print(" * Made by tools/gen_unicode.py (%s): do not edit. */" % source)
print("enum { UNICODE_BITS = %d, UNICODE_END = 0x%x };" % (bits, limit))
emit("unicode_index", index)
packed = bytearray()
for block in blocks:
    packed += bytes(block[i] | block[i + 1] << 4 for i in range(0, len(block), 2))
emit("unicode_blocks", packed)
emit("lm_unicode_ascii", table[:128], "")
print("%d bytes" % (len(index) + len(packed)), file=sys.stderr)
