#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/chat/adapted.inc: messages as a program gives them, and what Jinja2 makes of the same messages adapted by hand to what the template wants.

    python3 tools/make_chat_adapted.py tests/chat/adapted.json > tests/chat/adapted.inc
"""
import json
import sys

import jinja2

from make_chat_vectors import c_string, environment


def main():
    env = environment()
    print("/* SPDX-License-Identifier: MIT")
    print(f" * Made by tools/make_chat_adapted.py with Jinja2 {jinja2.__version__}: name, template, messages as given, text of the adapted ones. */")
    with open(sys.argv[1], encoding="utf-8") as f:
        for case in json.load(f):
            absent = {} if case.get("bare") else {"tools": None, "documents": None}
            text = env.from_string(case["template"]).render(messages=case["adapted"], add_generation_prompt=True, bos_token="<s>", eos_token="</s>", **absent)
            given = json.dumps(case["given"], ensure_ascii=False)
            print(f"{{ {c_string(case['name'])}, {c_string(case['template'])},\n  {c_string(given)},\n  {c_string(text)} }},")


if __name__ == "__main__":
    main()
