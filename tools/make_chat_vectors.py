#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/chat/vectors.inc: small templates and what Jinja2, set up as transformers does, makes of them (NULL: it refuses).

    python3 tools/make_chat_vectors.py tests/chat/vectors.json > tests/chat/vectors.inc
"""
import datetime
import json
import sys

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment



def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def c_string(text):
    out = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{out}"'


def environment(extensions=()):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, *extensions])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime(2025, 7, 10, 15, 4, 5).strftime(form)
    return env


def main():
    env = environment()
    print("/* SPDX-License-Identifier: MIT")
    print(f" * Made by tools/make_chat_vectors.py with Jinja2 {jinja2.__version__}: source, text or NULL where Jinja2 refuses. */")
    with open(sys.argv[1], encoding="utf-8") as f:
        for source in json.load(f):
            try:
                text = env.from_string(source).render(d={"a": 1, "b": "x"}, t="text")
            except Exception:
                text = None
            print(f"{{ {c_string(source)}, {c_string(text) if text is not None else 'NULL'} }},")


if __name__ == "__main__":
    main()
