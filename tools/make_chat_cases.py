#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a file of cases for the test of chat templates from any folders of templates and of contexts (JSON objects of variables).

    python3 tools/make_chat_cases.py CASES.json CONTEXTS TEMPLATES... && test_chat_template ./CASES.json

Every template is rendered by Jinja2, set up as transformers does, with every context, with and without a generation prompt, and where
a context has tool calls once more with their arguments as objects. A refusal is noted as "EXC ...", which our renderer must share.
"""
import copy
import glob
import json
import os
import sys

from jinja2 import nodes
from jinja2.ext import Extension

from make_chat_vectors import environment


class Generation(Extension):
    """{% generation %}: its body, as without a mask for training."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(["name:endgeneration"], drop_needle=True), lineno=line)


def main():
    env = environment([Generation])
    contexts = {}
    for path in sorted(glob.glob(sys.argv[2] + "/*.json")):
        with open(path, encoding="utf-8") as f:
            context = json.load(f)
        contexts[os.path.basename(path)] = context
        calls = [c for m in context["messages"] for c in m.get("tool_calls") or []]
        if calls:
            context = copy.deepcopy(context)
            for message in context["messages"]:
                for call in message.get("tool_calls") or []:
                    call["function"]["arguments"] = json.loads(call["function"]["arguments"])
            contexts[os.path.basename(path) + ", objects"] = context
    cases = []
    for folder in sys.argv[3:]:
        for path in sorted(glob.glob(folder + "/**/*.jinja", recursive=True)):
            with open(path, encoding="utf-8") as f:
                source = f.read()
            for name, context in contexts.items():
                for prompt in (True, False):
                    variables = dict(context, add_generation_prompt=prompt)
                    try:
                        text = env.from_string(source).render(**copy.deepcopy(variables))
                    except Exception as error:
                        text = f"EXC {error!r}"
                    cases.append({"name": f"{os.path.basename(path)}, {name}, {prompt}", "template": source, "context": variables,
                                  "jinja2_3.1.6": text})
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        json.dump(cases, f)
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
