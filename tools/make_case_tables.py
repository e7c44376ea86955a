#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes src/text/chat/case_tables.inc: how Python's str.upper and str.lower map characters beyond ASCII.

    python3 tools/make_case_tables.py > src/text/chat/case_tables.inc
"""
import sys
import unicodedata


def ranges(mapping):
    """(first, last, step, delta): runs of code points, each or every second, that move by the same amount."""
    out = []
    for cp, to in sorted(mapping.items()):
        delta = to - cp
        if out:
            first, last, step, d = out[-1]
            if d == delta and (cp - last == step or (first == last and cp - last in (1, 2))):
                out[-1] = (first, cp, cp - last, d)
                continue
        out.append((cp, cp, 1, delta))
    return out


def main():
    print("/* SPDX-License-Identifier: MIT")
    print(f" * Made by tools/make_case_tables.py, Unicode {unicodedata.unidata_version}. */")
    for name, change in (("upper", str.upper), ("lower", str.lower)):
        single, several = {}, {}
        for cp in range(0x80, sys.maxunicode + 1):
            if 0xD800 <= cp < 0xE000:
                continue
            to = change(chr(cp))
            if len(to) == 1 and ord(to) != cp:
                single[cp] = ord(to)
            elif len(to) > 1:
                several[cp] = to
        print(f"static const letters_run letters_{name}[] = {{")
        for first, last, step, delta in ranges(single):
            print(f"    {{ 0x{first:x}, 0x{last:x}, {step}, {delta} }},")
        print("};")
        print(f"static const letters_several letters_{name}_several[] = {{")
        for cp, to in sorted(several.items()):
            text = "".join(f"\\x{b:02x}" for b in to.encode())
            print(f'    {{ 0x{cp:x}, "{text}" }},')
        print("};")


if __name__ == "__main__":
    main()
