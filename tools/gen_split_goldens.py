#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes two files of goldens for tests/text/data. splits.txt: how Hugging Face `tokenizers` cuts awkward texts by the regular
expressions of every pre-tokenizer that has a name. clean.txt: what `transformers` makes of texts when it cleans up their spaces.

    tools/gen_split_goldens.py OUT_DIR [--random N] [--seed S]

--random adds N random texts: the test takes such a splits.txt as an argument, for more than the repository should hold.

Lines of clean.txt: a text and what becomes of it, both in hexadecimal. Lines of splits.txt: `C` a case in hexadecimal. `P` the flags of a pre-tokenizer (w whole words, b BOS, s separator, c clean spaces, t text,
l whole lines, g graphs alone, r ids are ranks, - none) and
its names; as many `S` lines follow as there are cases: the bytes of each piece as a character, 1-9 A-Z a-z for 1 to 61, and + for
61 and on.
"""
import argparse
import pathlib
import random
import unicodedata

from tokenizers import Regex, pre_tokenizers
from transformers import PreTrainedTokenizerFast

C = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"


def llama3(numbers, tail=TAIL):
    return C + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + numbers + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + tail


def o200k(numbers, contraction=C + "?", without="", behind=r"[\r\n/]*"):
    upper, lower = "[" + UPPER + without + "]", "[" + LOWER + without + "]"
    return (r"[^\r\n\p{L}\p{N}]?" + upper + "*" + lower + "+" + contraction + r"|[^\r\n\p{L}\p{N}]?" + upper + "+" + lower + "*" +
            contraction + "|" + numbers + r"| ?[^\s\p{L}\p{N}]+" + behind + "|" + TAIL)


QWEN2 = llama3(r"\p{N}")
QWEN35 = C + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + TAIL
BAILING = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
SEED = C + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + TAIL
EXAONE = C + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
JAIS2 = llama3(r"\p{N}{1,3}", r"\s*[\r\n]+|" + "".join(r"\s{%d}(?!\S)|" % n for n in (512, 256, 128, 64, 32, 16, 8, 4)) +
               r"\s{1,2}(?!\S)|\s{1}")
KIMI = r"\p{Han}+|" + o200k(r"\p{N}{1,3}", without=r"&&[^\p{Han}]", behind=r"[\r\n]*")
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + TAIL)
PUNCT = r"[\p{P}\$\+<=>\^~\|%s]+"
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"


def runs(ranges):
    """[...]+ of ranges like '4E00-9FA5 3005'."""
    return "[%s]+" % "".join("-".join(chr(int(end, 16)) for end in part.split("-")) for part in ranges.split())


CJK_WIDE = runs("4E00-9FA5 0800-4E00 AC00-D7FF")
YOUTU = "|".join(map(runs, ["AC00-D7A3 3131-318E", "FF01 2026 201C 201D 2018 2019 2014 FF1A FF1B FF0C 3001-303F FE30-FE4F", "3105-312F",
                            "4E00-9FA5 3040-309F 30A0-30FF"]))
AFMOE = runs("4E00-9FFF 3400-4DBF F900-FAFF 3040-309F 30A0-30FF FF65-FF9F 2F00-2FDF 0E40-0E7F 0E80-0EFF 1780-17FF 1000-109F AA60-AA7F "
             "A9E0-A9FF AC00-D7AF 1100-11FF")
CASED = runs(
    "0041-005A 0061-007A 00B5 00C0-00D6 00D8-00F6 00F8-01BA 01BC-01BF 01C4-0293 0295-02AF 0370-0373 0376 0377 037B-037D 037F 0386 "
    "0388-038A 038C 038E-03A1 03A3-03F5 03F7-0481 048A-052F 0531-0556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B "
    "1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE "
    "1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 "
    "212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B "
    "A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB "
    "10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943")
DEEPSEEK_MARKS = "[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
CHAMELEON = ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )", r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]", GPT2]

# names, expressions from the outermost to the innermost, flags
TABLE = [
    ("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", [llama3(r"\p{N}{1,3}")], "wbc"),
    ("dbrx smaug-bpe glm4 chatglm-bpe", [llama3(r"\p{N}{1,3}")], "c"),
    ("minicpm5", [r"\p{N}{1,3}", llama3(r"\p{N}+")], "wc"),
    ("jais-2", [JAIS2], "c"),
    ("qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2", [QWEN2], ""),
    ("megrez stablelm2", [QWEN2], "c"),
    ("qwen35", [QWEN35], ""),
    ("laguna", [r"[^\n]+|[\n]+", QWEN2], ""),
    ("bailingmoe bailingmoe2 llada-moe", [BAILING], ""),
    ("seed-coder", [SEED], ""),
    ("exaone-moe", [EXAONE], "c"),
    ("gpt-4o llama4 kanana2 talkie minimax-m2", [o200k(r"\p{N}{1,3}")], ""),
    ("granite-embed-multi-97m", [o200k(r"\p{N}{1,3}")], "w"),
    ("tiny_aya cohere2moe", [r"\d{1,3}(?=(?:\d{3})*\b)", o200k(r"\p{N}{1,3}")], ""),
    ("tekken", [o200k(r"\p{N}", "")], "wb"),
    ("youtu", [YOUTU, o200k(r"\p{N}")], "w"),
    ("kimi-k2", [KIMI], "r"),
    ("deepseek-v3 hunyuan-dense joyai-llm", [r"\p{N}{1,3}", runs("4E00-9FA5 3040-309F 30A0-30FF"), DEEPSEEK3], ""),
    ("afmoe", [r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", AFMOE, DEEPSEEK3], ""),
    ("deepseek-llm", [r"[\r\n]", r"\s?" + CASED, r"\s?" + DEEPSEEK_MARKS, r"\s+$", CJK_WIDE, r"\p{N}+"], ""),
    ("deepseek-coder", [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK_WIDE, r"\p{N}"], ""),
    ("gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de gigachat a.x-4.0 mellum modern-bert exaone4 mpt olmo jais", [GPT2], "c"),
    ("jina-v1-en jina-v2-code roberta-bpe", [GPT2], "sc"),
    ("trillion granite-docling", [GPT2], ""),
    ("starcoder refact codeshell exaone minerva-7b mellum2", [r"\p{N}", GPT2], "c"),
    ("command-r smollm", [r"\p{N}", GPT2], ""),
    ("falcon", [PUNCT % "`", GPT2, "[0-9][0-9][0-9]"], "c"),
    ("bloom gpt3-finnish", [BLOOM], "c"),
    ("poro-chat", [BLOOM], ""),
    ("viking", [BLOOM, r"\p{N}"], ""),
    ("chameleon", CHAMELEON, "b"),
    ("gemma4 granite-embed-multi-311m", [r"[^\n]+|[\n]+"], "tlc"),
    ("sarvam-moe", [r"[^\n]+|[\n]+"], "t"),
    ("whitespace", [r"\S+"], "tgc"),
    ("superbpe", [r"\p{N}+", r"(?=(\d{3})+(?!\d))"], ""),
    ("default", [PUNCT % "", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"], "c"),
]

PARTS = [
    "hello", "Hello", "HELLO", "camelCase", "HTTPServer", "it's", "IT'S", "we'Ve", "'ll", "'LL", "'d", "'D'", "'\u017f", "'re'", "x'tx", "''", "'",
    "\u2019s", "1", "12", "123", "1234", "12345678", "123456789", "1234567890", "3.14", "\u0661\u0662\u0663\u0664", "\u00bd", "\u2167",
    "\u00b2\u00b3", "\u096d", "\U0001d7d8\U0001d7d9", "1a2b", "0x1F", "123\u00bd456", "1000_", "1000\u0301", "\u3007\u3021", "12\u3007",
    " ", " ", " ", "  ", "   ", "        ", "\t", "\t\t", "\n", "\n", "\n\n", "\r\n", " \n", "\n ", " \n \n", "\r", "\v", "\f", "\x85", "\xa0",
    "\u2028", "\u3000", "\u200b", "\u200d", "\ufeff", "\u1680", "\u202f", "\x1c", "\x00", "\x7f",
    ".", "...", "!?", "$+<=>^~|`", "(", ")", "[[", "/*", "*/", "//", "/\n", "\n/\n", "--", "\u2014", "\u2026", "#", "@", "%", "_", "\u20ac",
    "\u2122", "\u300c", "\u300d", "\u3002", "\uff01", "\uff0c", "\uff1a", "\u060c", "\u06d4", "\u0964", "\u203f",
    "Gr\u00f6\u00dfe", "e\u0301", "E\u0301", "a\u0308\u0323", "\u0301", "\u0301x", "\u0301X", " \u0301", "\u0928\u093f\u092f", "\u0903",
    "\u041c\u043e\u0441\u043a\u0432\u0430", "\u0391\u03a9", "\u01c5", "\u02b0", "A\u02b0B", "\u00aa", "\u4eba\u4eba", "\u81ea\u7531", "AB\u4ebaCD",
    "\u4ebaAb", "\u306b\u307b\u3093", "\u30ab\u30bf", "\u30fc", "\u3105\u3107", "\uff76", "\ud55c\uad6d", "\u1100\u1161\u11a8",
    "\u0e44\u0e17\u0e22", "\u0e20\u0e32\u0e29\u0e32", "\u0ea5\u0eb2\u0ea7", "\u1781\u17d2\u1798\u17c2\u179a", "\u1019\u103c\u1014\u103a",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u05e2\u05d1\u05e8\u05d9\u05ea", "\u0640", "\U00010437", "\U00020000", "\u337f", "\ufb01",
    "\u2f00", "\u2e80", "\uf900", "\u0130", "\u00df", "\u017f", "\u212a", "\u24b6", "\uff21\uff42", "\uff11", "\u10d0", "\u13a0",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd", "\U000e0041",
    "\ue000", "\U0010ffff", "\ufffd", "\u2581", "<s>", "<sentinel:", "<sentinel:12>", "IMGIMG", "IMGIMGABZ", "IMGIMGABCDEZ", "Z", "A",
    "for", "i++", "==", "};", "http://a.b/c?d=e&f", "a_b", "a b c", "don't I'm",
]


def make_cases(n_random, seed):
    rng = random.Random(seed)
    known = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]     # assigned for long
    cases = ["", " ", "  a", "a ", "\n", "a" * 70 + "1" * 130 + " " * 70 + "\u4eba" * 30 + "A" * 70]
    cases += [" " * n + end for n in (2, 3, 7, 8, 9, 300, 511, 513, 1600) for end in ("", "x")] + ["\t" * 600 + "\n" + " " * 700 + "7"]
    cases += ["9" * n + end for n in range(1, 11) for end in ("", "a", " b", "\u00bd", "\u0301", ".")]
    while len(cases) < 260 + n_random:
        cases.append("".join(rng.choice(PARTS) for _ in range(rng.randint(2, 9))))
    while len(cases) < 330 + 2 * n_random:
        top = rng.choice([0x80, 0x250, 0x3400, 0x10000, 0x20000])
        part = [c for c in rng.choices(known, k=200) if ord(c) < top] + rng.choices(known[:0x2000 if top > 0x80 else 0x80], k=8)
        cases.append("".join(rng.choice([c, c, " ", "a", "B", "7", "\n", "'"]) for c in part[:rng.randint(3, 14)]))
    return cases


def encode(lengths):
    digits = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join("+" * ((n - 1) // 61) + digits[(n - 1) % 61] for n in lengths)


def write_splits(out, cases):
    for case in cases:
        out.write("C %s\n" % case.encode().hex())
    for names, expressions, flags in TABLE:
        out.write("P %s %s\n" % (flags or "-", names))
        stages = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(e), "isolated") for e in expressions])
        for case in cases:
            pieces = [piece for piece, _ in stages.pre_tokenize_str(case)]
            assert "".join(pieces) == case and all(pieces)
            out.write("S %s\n" % encode(len(piece.encode()) for piece in pieces))


def write_clean(out, rng):
    parts = ["a", "b", "'", "n't", "'s", "'m", "'ve", "'re", "'ll", ".", ",", "?", "!", ";", "\n", "\u4eba", *[" "] * 16]
    for _ in range(150):
        case = "".join(rng.choice(parts) for _ in range(rng.randint(1, 14)))
        out.write("%s %s\n" % (case.encode().hex(), PreTrainedTokenizerFast.clean_up_tokenization(None, case).encode().hex()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with open(options.out / "splits.txt", "w", newline="\n") as out:
        write_splits(out, make_cases(options.random, options.seed))
    with open(options.out / "clean.txt", "w", newline="\n") as out:
        write_clean(out, random.Random(options.seed))


if __name__ == "__main__":
    main()
