#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/grammar/vectors.inc: what Python's re says of random regular expressions, and of GBNF grammars turned into expressions.

    python3 tools/make_grammar_vectors.py [GRAMMARS] > tests/grammar/vectors.inc

Expressions are made of what both languages read alike; texts are drawn from the expression itself and then damaged a little. Each is judged
twice: the whole text matches (fullmatch), some part does (search). GRAMMARS is a folder of .gbnf files (../shared/data/structured/grammars);
their rules are put into one another, recursion up to a depth that the texts do not reach, and the result is judged by re as well. The
grammars themselves are not copied: the test reads them from there.
"""
import glob
import os
import random
import re
import sys
try:
    import re._parser as sre
except ImportError:
    import sre_parse as sre

rng = random.Random(20261122)
ALPHABET = "abc01-_ \u00e9"


def pattern(depth):
    kind = rng.randrange(12 if depth > 0 else 6)
    if kind < 3:
        return re.escape(rng.choice(ALPHABET)).replace("\\ ", " ")
    if kind == 3:
        return rng.choice([".", r"\d", r"\w", r"[a-c]", r"[^a]", r"[01_-]", r"\W", r"[^\d]", r"\D", r"[\w ]", r"\x61", r"\u00e9"])
    if kind < 6:
        return "".join(pattern(0) for _ in range(rng.randrange(1, 4)))
    if kind == 6:
        return "(" + rng.choice(["", "?:"]) + pattern(depth - 1) + ")"
    if kind == 7:
        return "(?:" + "|".join(pattern(depth - 1) if rng.randrange(6) else "" for _ in range(rng.randrange(2, 4))) + ")"
    if kind == 8:
        return "(" + pattern(depth - 1) + ")" + rng.choice(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?", "{0,2}?", "{0}"])
    if kind == 9:
        return rng.choice(["^", "", ""]) + pattern(depth - 1) + rng.choice(["$", "", ""])
    return pattern(depth - 1) + pattern(depth - 1)


def draw(tree, depth=0):
    out = []
    for op, arg in tree:
        op = str(op)
        if op == "LITERAL":
            out.append(chr(arg))
        elif op == "NOT_LITERAL":
            out.append(rng.choice([c for c in ALPHABET if ord(c) != arg]))
        elif op == "ANY":
            out.append(rng.choice(ALPHABET))
        elif op == "IN":
            out.append(member(arg))
        elif op == "BRANCH":
            out.append(draw(rng.choice(arg[1]), depth + 1))
        elif op == "SUBPATTERN":
            out.append(draw(arg[-1], depth + 1))
        elif op in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, item = arg
            n = low + min(rng.choice([0, 0, 1, 1, 2, 3]), int(high) - low)
            out.append("".join(draw(item, depth + 1) for _ in range(n)))
    return "".join(out)


def member(items):
    negated = any(str(op) == "NEGATE" for op, _ in items)
    inside = []
    for op, arg in items:
        op = str(op)
        if op == "LITERAL":
            inside.append(chr(arg))
        elif op == "RANGE":
            inside.append(chr(rng.randint(arg[0], arg[1])))
        elif op == "CATEGORY":
            inside += [c for c in ALPHABET if re.match({"CATEGORY_DIGIT": r"\d", "CATEGORY_WORD": r"\w", "CATEGORY_NOT_DIGIT": r"\D",
                                                        "CATEGORY_NOT_WORD": r"\W"}[str(arg)], c, re.A)]
    if negated:
        inside = [c for c in ALPHABET if c not in inside]
    return rng.choice(inside) if inside else "?"


def damage(text, alphabet):
    text = list(text)
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(3)
        if kind == 0:
            text.insert(at, rng.choice(alphabet))
        elif at < len(text):
            text[at:at + 1] = [rng.choice(alphabet)] if kind == 1 else []
    return "".join(text)


def c_string(text):
    out, hexed = [], False
    for b in text.encode("utf-8"):
        plain = 32 <= b < 127 and chr(b) not in '"\\?'
        if plain and not (hexed and chr(b) in "0123456789abcdefABCDEF"):
            out.append(chr(b))
            hexed = False
        elif plain:
            out.append('" "' + chr(b))
            hexed = False
        elif b in (34, 92, 10):
            out.append({34: '\\"', 92: "\\\\", 10: "\\n"}[b])
            hexed = False
        else:
            out.append("\\x%02x" % b)
            hexed = True
    return '"' + "".join(out) + '"'


def expressions(n, n_texts):
    done = 0
    while done < n:
        p = pattern(4)
        try:
            compiled, tree = re.compile(p, re.A), sre.parse(p, re.A)
        except re.error:
            continue
        if len(p) > 60 or "(?:)" in p:
            continue
        texts = {}
        for _ in range(n_texts):
            t = damage(draw(tree), ALPHABET)[:40]
            texts[t] = (compiled.fullmatch(t) is not None) + 2 * (compiled.search(t) is not None)
        yield p, texts
        done += 1


# ---- GBNF ----------------------------------------------------------------------------------------------------------------------

def rules_of(text):
    """Rules as expressions of re, with references as \\0NAME\\0."""
    text = re.sub(r'("(?:[^"\\\n]|\\.)*"|\[(?:[^\]\\]|\\.)*\])|#[^\n]*', lambda m: m.group(1) or "", text)
    parts = re.split(r"(?m)^\s*([A-Za-z0-9-]+)\s*::=", text)
    rules = {}
    for name, body in zip(parts[1::2], parts[2::2]):
        out = []
        for token in re.findall(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[A-Za-z][A-Za-z0-9-]*|\{[^}]*\}|[()|*+?.]', body):
            if token[0] == '"':
                literal = re.sub(r'\\(.)', lambda m: {"n": "\n", "t": "\t", "r": "\r"}.get(m.group(1), m.group(1)), token[1:-1])
                out.append("(?:" + re.escape(literal) + ")")
            elif token[0] == "[":
                body = token[1:-1]
                negated = body.startswith("^")
                body = body[negated:]
                body = re.sub(r'\[', r'\\[', re.sub(r'\\\[', "[", body))
                out.append("[" + "^" * negated + body.replace("&&", r"&\&").replace("--", r"\--").replace("||", r"|\|").replace("~~", r"~\~") + "]")
            elif token[0].isalpha():
                out.append("\0" + token + "\0")
            elif token == "(":
                out.append("(?:")
            else:
                out.append(token)
        rules[name] = "".join(out)
    return rules


def unrolled(rules, name, depth, seen=()):
    def put(m):
        inner = m.group(1)
        if seen.count(inner) >= depth:
            return "(?!)"
        return "(?:" + unrolled(rules, inner, depth, seen + (inner,)) + ")"
    return re.sub("\0([^\0]*)\0", put, rules[name])


SEEDS = {
    "arithmetic.gbnf": ["x=1\n", "a + b = (c*2)\n", "(a)=b\nc=d\n", "1=2", "((a+b)-c)*d=0\n", "a=b+c\n", "+=1\n", "a1_=b \n", "A=b\n", "a=b=c\n"],
    "c.gbnf": ["int main(){}", "int f(int x){return  x;}", "int f(){int x = 1+2*y;f(x,-1);}", "float g(char c){while(a<b){x = 1;}}", "int f(){//hi\n/* a*b */}",
               "void f(){}", "int f(){x=1;}", "int f(){x = (  a  )  ;}", "int f(){for(i = 0;i<n;i = i+1){}}", "int f(){if(a==b){return x;}else{}}"],
    "chess.gbnf": ["1. e4 e5\n2. Nf3 Nc6\n", "1. e4 e5\n", "1. O-O O-O-O\n12. exd8=Q+ Kxa1#\n", "2. e4 e5\n2. e4 e5\n", "1. e4 e5\n2. i4 e5\n", "1. Nb1d2 a6\n99. a1 h8\n"],
    "english.gbnf": ["Hello, world", "a", " a", "a  b", "a\tb\nc", "[x]\\y^z", "caf\u00e9", "A-Z~", ""],
    "japanese.gbnf": ["\u3042", "\u3042\u30a2 \u4e00", "abc", "\u3001\u3042\n\u9fff", "\u3042 ", "\u303e", "\u303f"],
    "json.gbnf": ['{}', '{"a":1}', '{ "a": [1, -2.5e3 , true,null] }', '[1]', '{"a":"\\u00e9\\n"}', '{"a":"x"y}', '{"a":01}', '{"a":{"b":{"c":[[]]}}}',
                  '{"a":1,}', '{"\u00e9":false}\n  ', '{"a":"\\x"}', '{"a":12345678901234567}', '{"a":.5}'],
    "json_arr.gbnf": ['[\n]', '[\n1,\n2]', '[1]', '[\n{"a":[1,2]},\n"x"]', '[\n1]\n', '[\n 1 ,\n  null ]'],
    "list.gbnf": ["- a\n", "- a\n- b c\n", "- \n", "-a\n", "- a", "- \u2028\n", "- x\x0by\n"],
}
ODD = [
    ("root ::= \"a\"{2,3} b*\nb ::= [x-z]?", ["aa", "aaa", "a", "aaaa", "aaxyz", "aaxa"]),
    ("root ::= (a | b)+ # two\na ::= \"\\x61\"\n\n  # a line\nb ::= \"\\u00e9\" | [\\U0001F600-\\U0001F64F]", ["a", "\u00e9a", "\U0001f601", "", "b", "\U0001f650"]),
    ("root ::= .{2} \"\\n\"", ["ab\n", "\n\n\n", "a\n", "\u00e9\u00e9\n", "abc\n"]),
    ("root ::= [^a-c\\]] | [a-] \"-\" | [\\]x-] \"!\"", ["d", "a", "a-", "--", "]!", "x!", "-!", "]", "-"]),
    ("root ::= \"\" | (\"x\" |\n \"y\")\n", ["", "x", "y", "z", "xy"]),
    ("root ::= \"a\"{0} \"b\"{1,} c\nc ::=\n  \"c\"", ["bc", "bbbc", "abc", "c"]),
]
ODD_RE = ["(?:a){2,3}[x-z]*", "(?:a|\u00e9|[\U0001f600-\U0001f64f])+", "[\\s\\S]{2}\n", "[^a-c\\]]|[a-]-|[\\]x-]!", "(?:x|y)?", "b+c"]


def main():
    print("/* SPDX-License-Identifier: MIT\n * Made by tools/make_grammar_vectors.py with Python's re. Each text: bit 0, all of it matches; bit 1, some part does. */")
    print("static const regex_row regex_rows[] = {")
    for p, texts in expressions(400, 10):
        print("    { %s, { %s } }," % (c_string(p), ", ".join("{ %s, %d }" % (c_string(t), bits) for t, bits in texts.items())))
    print("};")
    print("/* text NULL: the file of that name. */\nstatic const gbnf_row gbnf_rows[] = {")
    for (text, texts), expression in zip(ODD, ODD_RE):
        compiled = re.compile(expression)
        print("    { NULL, %s, { %s } }," % (c_string(text), ", ".join("{ %s, %d }" % (c_string(t), compiled.fullmatch(t) is not None) for t in texts)))
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.gbnf"))) if len(sys.argv) > 1 else []:
        name = os.path.basename(path)
        rules = rules_of(open(path, encoding="utf-8").read())
        compiled = re.compile(unrolled(rules, "root", {"c.gbnf": 2, "arithmetic.gbnf": 4}.get(name, 4)))
        texts = {}
        alphabet = sorted({c for seed in SEEDS[name] for c in seed})
        for seed in SEEDS[name]:
            for t in [seed] + [damage(seed, alphabet) for _ in range(3)]:
                texts[t] = compiled.fullmatch(t) is not None
        print("    { %s, NULL, { %s } }," % (c_string(name), ", ".join("{ %s, %d }" % (c_string(t), bits) for t, bits in texts.items())))
    print("};")


main()
