#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Replies under JSON schemas, at a high temperature, are valid: asked of the package jsonschema.

    python3 tools/check_structured.py BUILD/tests/bench/structured_samples MODEL.gguf [N]

N replies (10000) in all, shared by the schemas below. A reply that was cut short by its number of tokens is counted, and is no text to judge.
"""
import datetime
import json
import subprocess
import sys
import tempfile

import jsonschema

WORDS = {"type": "string", "maxLength": 12}
SCHEMAS = [
    {"type": "object", "properties": {"name": WORDS, "age": {"type": "integer", "minimum": 0, "maximum": 130},
                                      "height": {"type": "number", "exclusiveMinimum": 0.5, "maximum": 2.5},
                                      "tags": {"type": "array", "items": {"enum": ["red", "green", "b\"lue", None, 1.5]}, "minItems": 1, "maxItems": 4}},
     "required": ["name", "tags"], "additionalProperties": False},
    {"$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer", "multipleOf": 7, "minimum": -100, "maximum": 1000},
                                                         "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
                        "required": ["v", "next"], "additionalProperties": False}}, "$ref": "#/$defs/node"},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "circle"}, "r": {"type": "number", "minimum": 0, "maximum": 9}},
                "required": ["kind", "r"], "additionalProperties": False},
               {"type": "object", "properties": {"kind": {"const": "box"}, "w": {"type": "integer", "minimum": 1, "maximum": 99},
                                                 "h": {"type": "integer", "minimum": 1, "maximum": 99}}, "required": ["kind", "w", "h"], "additionalProperties": False}]},
    {"type": "array", "prefixItems": [{"type": "string", "pattern": "^[a-z]{2,5}(-[0-9]+)?$", "maxLength": 9}, {"type": "boolean"}],
     "items": {"type": "string", "format": "date"}, "contains": {"const": True}, "minItems": 2, "maxItems": 5},
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "patternProperties": {"^x[0-9]$": {"type": "integer", "maximum": 5, "minimum": -5}},
     "additionalProperties": {"type": "string", "maxLength": 3}, "propertyNames": {"maxLength": 4}, "maxProperties": 4, "dependentRequired": {"a": ["b"]}},
    {"type": "object", "properties": {"n": {"enum": [1, 2]}, "m": {"type": ["string", "null"], "maxLength": 5}}, "required": ["n"], "additionalProperties": False,
     "if": {"properties": {"n": {"const": 1}}}, "then": {"required": ["m"], "properties": {"m": {"type": "string", "minLength": 2}}}},
    {"not": {"type": ["object", "array"]}, "maxLength": 8, "minimum": -1, "maximum": 3},
]


FORMATS = jsonschema.FormatChecker()


@FORMATS.checks("date", raises=ValueError)
def is_date(text):
    # RFC 3339 has a year 0000, a leap year, which Python has not.
    return not isinstance(text, str) or bool(datetime.date.fromisoformat("0004" + text[4:] if text.startswith("0000-") else text))


def main():
    program, model = sys.argv[1:3]
    total = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
    valid = short = bad = 0
    for i, schema in enumerate(SCHEMAS):
        share = total * (i + 1) // len(SCHEMAS) - total * i // len(SCHEMAS)
        for turn, n in enumerate((share // 2, share - share // 2)):
            with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
                json.dump(schema, f)
                f.flush()
                out = subprocess.run([program, model, "2", f.name, str(n), "3.0"] + ["compact"] * turn, check=True, stdout=subprocess.PIPE).stdout
            validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
            for line in out.decode("utf-8").split("\n")[:-1]:
                end, text = line.split("\t", 1)
                text = json.loads(text)
                if int(end) not in (2, 7):      # LLM_END_TOKEN, LLM_END_GRAMMAR
                    short += 1
                    continue
                try:
                    validator.validate(json.loads(text))
                    valid += 1
                except (ValueError, jsonschema.ValidationError) as why:
                    bad += 1
                    print(f"schema {i}: {text!r}: {str(why).splitlines()[0]}")
    print(f"{valid} valid, {bad} not, {short} cut short")
    return bad != 0


sys.exit(main())
