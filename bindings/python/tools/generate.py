#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes libllm/_abi.py from include/llm.h: constants, structs and function prototypes for ctypes.

    generate.py            writes libllm/_abi.py
    generate.py --check    says whether libllm/_abi.py is what the header gives (exit status 1 if not)
    generate.py --probe    prints a C program that prints the sizes, offsets and constants that the compiler finds in
                           the header; it only compiles if the prototypes were read as the compiler reads them

The header keeps to rules (fixed-width types, anonymous enums, no bit-fields, no struct by value), so a small parser
does. What it does not understand is an error, never a guess.
"""

import argparse
import os
import re
import sys
import textwrap

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = os.path.join(HERE, "..", "..", "..", "include", "llm.h")
OUTPUT = os.path.join(HERE, "..", "libllm", "_abi.py")

# C's base types and ctypes' names of them.
BASE = {
    "void": "None",
    "char": "c_char",
    "float": "c_float",
    "double": "c_double",
    "size_t": "c_size_t",
    "int8_t": "c_int8",
    "uint8_t": "c_uint8",
    "int16_t": "c_int16",
    "uint16_t": "c_uint16",
    "int32_t": "c_int32",
    "uint32_t": "c_uint32",
    "int64_t": "c_int64",
    "uint64_t": "c_uint64",
}
# Values of macros that are no plain numbers.
MACRO_VALUES = {"((size_t)-1)": "c_size_t(-1).value", "INT64_MAX": "0x7FFFFFFFFFFFFFFF"}


# ---- types -------------------------------------------------------------------------------------------------------


class Base:
    """A named type."""

    def __init__(self, name, const):
        self.name, self.const = name, const

    def declare(self, inner):
        return f"{'const ' if self.const else ''}{self.name} {inner}".rstrip()


class Pointer:
    def __init__(self, to, const):
        self.to, self.const = to, const

    def declare(self, inner):
        star = f"*{'const ' if self.const else ''}{inner}"
        return self.to.declare(f"({star})" if isinstance(self.to, (Function, Array)) else star)


class Array:
    def __init__(self, of, count):
        self.of, self.count = of, count

    def declare(self, inner):
        return self.of.declare(f"{inner}[{self.count}]")


class Function:
    def __init__(self, result, parameters):
        self.result, self.parameters = result, parameters  # parameters: [(type, name)]

    def declare(self, inner):
        inside = ", ".join(kind.declare("") for kind, _ in self.parameters) or "void"
        return self.result.declare(f"{inner}({inside})")


# ---- reading -----------------------------------------------------------------------------------------------------


class Header:
    """What the header declares, in its order. `items` holds tuples that begin with "constants", "alias", "opaque",
    "struct" or "function"."""

    def __init__(self, text):
        self.items = []
        self.tokens = re.findall(r'"[^"]*"|\w+|[^\s\w]', self.preprocess(text))
        self.at = 0
        while self.at < len(self.tokens):
            self.declaration()

    def preprocess(self, text):
        """Without comments and directives, as a C compiler sees it; macros of ours become constants."""
        text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S).replace("\\\n", " ")
        kept, live = [], []  # live: for each open #if, whether its branch is read
        for line in text.split("\n"):
            directive = re.match(r"\s*#\s*(\w+)\s*(.*)", line)
            if not directive:
                if all(live):
                    kept.append(line)
                continue
            word, rest = directive.groups()
            if word in ("if", "ifdef", "ifndef"):
                live.append(word == "ifndef")  # __cplusplus, _WIN32, __GNUC__: not defined; guards: open
            elif word == "elif":
                live[-1] = False
            elif word == "else":
                live[-1] = not live[-1]
            elif word == "endif":
                live.pop()
            elif word == "define" and all(live):
                kept.append(self.macro(rest))
            elif word not in ("define", "include"):
                raise SystemExit(f"llm.h: a directive this script does not know: {line}")
        return "\n".join(kept)

    @staticmethod
    def macro(rest):
        match = re.match(r"(LLM_[A-Z0-9_]+)\s+(\S.*)$", rest.strip())
        if not match or match[1] == "LLM_API":
            return ""
        name, value = match[1], match[2].strip()
        if value not in MACRO_VALUES and not re.fullmatch(r"\(?-?(0x[0-9A-Fa-f]+|\d+)u?\)?", value):
            raise SystemExit(f"llm.h: a value this script does not know: {name} {value}")
        return f'DEFINE {name} "{value}" ;'

    def peek(self):
        return self.tokens[self.at]

    def next(self, *wanted):
        token = self.tokens[self.at]
        if wanted and token not in wanted:
            near = " ".join(self.tokens[max(self.at - 8, 0) : self.at + 4])
            raise SystemExit(f"llm.h: {' or '.join(wanted)} was expected near: {near}")
        self.at += 1
        return token

    def declaration(self):
        word = self.peek()
        if word == "DEFINE":
            self.next()
            name, value = self.next(), self.next()[1:-1]
            value = MACRO_VALUES.get(value, value.strip("()").rstrip("u"))
            self.items.append(("constants", [(name, value)]))
            self.next(";")
        elif word == "enum":
            self.enum()
        elif word == "typedef":
            self.typedef()
        elif word == "LLM_API":
            self.next()
            kind, name = self.declarator(self.specifiers())
            self.next(";")
            self.items.append(("function", name, kind))
        else:
            raise SystemExit(
                f"llm.h: a declaration this script does not know, at: {' '.join(self.tokens[self.at : self.at + 8])}"
            )

    def enum(self):
        self.next("enum")
        self.next("{")
        constants = []
        while self.peek() != "}":
            name = self.next()
            self.next("=")
            value = "-" + self.next() if self.peek() == "-" and self.next() else self.next()
            int(value, 0)
            constants.append((name, value))
            if self.next(",", "}") == "}":
                break
        else:
            self.next("}")
        self.next(";")
        self.items.append(("constants", constants))

    def typedef(self):
        self.next("typedef")
        if self.peek() != "struct":
            kind, name = self.declarator(self.specifiers())
            self.next(";")
            self.items.append(("alias", name, kind))
            return
        self.next("struct")
        name = self.next()
        if self.peek() != "{":
            self.next(name)
            self.next(";")
            self.items.append(("opaque", name))
            return
        self.next("{")
        fields = []
        while self.peek() != "}":
            base = self.specifiers()
            while True:
                fields.append(self.declarator(base))
                if self.next(",", ";") == ";":
                    break
        self.next("}")
        self.next(name)
        self.next(";")
        self.items.append(("struct", name, fields))

    def specifiers(self):
        const, name = False, None
        while name is None or self.peek() == "const":
            word = self.next()
            if word == "const":
                const = True
            elif re.fullmatch(r"[A-Za-z_]\w*", word) and word not in ("struct", "enum", "unsigned", "long", "int"):
                name = word
            else:
                raise SystemExit(f"llm.h: a type this script does not know: {word}")
        return Base(name, const)

    def declarator(self, base):
        """A C declarator, from the inside out. Returns (type, name)."""
        while self.peek() == "*":
            self.next()
            const = self.peek() == "const" and bool(self.next())
            base = Pointer(base, const)
        name, inner = "", None
        if self.peek() == "(" and self.tokens[self.at + 1] in ("*", "("):
            self.next()
            inner = self.at
            depth = 1
            while depth:
                depth += {"(": 1, ")": -1}.get(self.next(), 0)
        elif re.match(r"[A-Za-z_]", self.peek()):
            name = self.next()
        if self.peek() == "(":
            base = Function(base, self.parameters())
        while self.peek() == "[":
            self.next()
            base = Array(base, int(self.next(), 0))
            self.next("]")
        if inner is not None:
            end, self.at = self.at, inner
            base, name = self.declarator(base)
            self.next(")")
            self.at = end
        return base, name

    def parameters(self):
        self.next("(")
        found = []
        if self.peek() == "void" and self.tokens[self.at + 1] == ")":
            self.next()
        while self.peek() != ")":
            found.append(self.declarator(self.specifiers()))
            if self.peek() == ",":
                self.next()
        self.next(")")
        return found


# ---- writing Python ----------------------------------------------------------------------------------------------


class Writer:
    def __init__(self, header):
        self.header = header
        self.lines = []
        self.functions = []
        self.callbacks = {}
        for item in header.items:
            getattr(self, item[0])(*item[1:])

    def type(self, kind, name, field):
        """ctypes' expression of a type. `name` names function pointers. Text that is passed to a function is bytes
        (c_char_p); in structs and callbacks it has a length and may hold NULs, so it stays a pointer there
        (`field`)."""
        if isinstance(kind, Base):
            return BASE.get(kind.name, kind.name)
        if isinstance(kind, Array):
            return f"{self.type(kind.of, name, field)} * {kind.count}"
        to = kind.to
        if isinstance(to, Function):
            return self.callback(to, name)
        if isinstance(to, Base) and to.name == "void":
            return "c_void_p"
        if isinstance(to, Base) and to.name == "char" and not field:
            return "c_char_p"
        return f"POINTER({self.type(to, name, field)})"

    def callback(self, kind, name):
        result = kind.result
        if isinstance(result, Pointer) and isinstance(result.to, Function):
            result = "c_void_p"  # ctypes cannot hand a function out of a callback
        else:
            result = self.type(result, f"{name}_result", True)
        parameters = [self.type(p, f"{name}_{n}", True) for p, n in kind.parameters]
        self.callbacks[name] = f"{name} = CFUNCTYPE({', '.join([result] + parameters)})"
        self.add(self.callbacks[name])
        return name

    def add(self, line):
        self.lines.extend(
            textwrap.wrap(line, 118, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        )

    def constants(self, constants):
        if self.lines and not self.lines[-1].startswith("LLM_"):
            self.lines.append("")
        self.lines.extend(f"{name} = {value}" for name, value in constants)

    def alias(self, name, kind):
        self.lines.extend(["", f"{name} = {self.type(kind, name, True)}"])

    def opaque(self, name):
        self.lines.extend(
            ["", "", f"class {name}(Structure):", '    """A handle: what it points to is the library\'s own."""', ""]
        )

    def struct(self, name, fields):
        self.lines.extend(["", ""])
        rows = [f'("{field}", {self.type(kind, f"{name}_{field}", True)}),' for kind, field in fields]
        if self.lines[-1]:
            self.lines.extend(["", ""])
        self.lines.extend(
            [f"class {name}(Structure):", "    _fields_ = [", *(f"        {row}" for row in rows), "    ]", ""]
        )

    def function(self, name, kind):
        parameters = [self.type(p, f"{name}_{n}", False) for p, n in kind.parameters]
        row = f'"{name}": ({self.type(kind.result, name, False)}, [{", ".join(parameters)}]),'
        self.functions.extend(
            textwrap.wrap(
                row,
                114,
                initial_indent="    ",
                subsequent_indent="        ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        )

    def text(self):
        body = re.sub(r"\n{4,}", "\n\n\n", "\n".join(self.lines)).strip("\n")
        body = re.sub(r"(    \]|own\.\"\"\")\n{2}(?=\S)", r"\1\n\n\n", body)
        used = sorted(
            {
                word
                for word in re.findall(r"\b(?:c_\w+|POINTER|CFUNCTYPE|Structure)\b", body + "\n".join(self.functions))
            }
        )
        imports = "\n".join(textwrap.wrap(f"from ctypes import ({', '.join(used)})", 118, subsequent_indent=" " * 20))
        return "\n".join(
            [
                "# SPDX-License-Identifier: MIT",
                '"""include/llm.h for ctypes: every constant, struct and function, under its own name.',
                "",
                "Written by tools/generate.py; do not edit. The header says what each of them means.",
                '"""',
                "# flake8: noqa: N801",
                imports,
                "",
                body,
                "",
                "",
                "# name: (result, parameters)",
                "FUNCTIONS = {",
                *self.functions,
                "}",
                "",
            ]
        )


# ---- writing C ---------------------------------------------------------------------------------------------------


def probe(header):
    """A C program that prints "size NAME BYTES", "field STRUCT.FIELD OFFSET BYTES" and "constant NAME VALUE" lines."""
    lines = ["#include <inttypes.h>", "#include <stddef.h>", "#include <stdio.h>", "#include <llm.h>"]
    prints = []
    for item in header.items:
        if item[0] == "function":
            _, name, kind = item
            lines.append(f"{Pointer(kind, True).declare(f'check_{name}')} = {name};")
        elif item[0] == "constants":
            for name, _ in item[1]:
                prints.append(f'printf("constant {name} %" PRId64 "\\n", (int64_t){name});')
        elif item[0] in ("struct", "alias"):
            name = item[1]
            prints.append(f'printf("size {name} %zu\\n", sizeof({name}));')
            for _, field in item[2] if item[0] == "struct" else ():
                measures = f"offsetof({name}, {field}), sizeof((({name} *)0)->{field})"
                prints.append(f'printf("field {name}.{field} %zu %zu\\n", {measures});')
    return "\n".join(lines + ["int main(void)", "{"] + ["    " + line for line in prints] + ["    return 0;", "}", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--header", default=HEADER)
    parser.add_argument("--output", default=OUTPUT)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--probe", action="store_true")
    options = parser.parse_args()
    with open(options.header, encoding="utf-8") as file:
        header = Header(file.read())
    if options.probe:
        print(probe(header), end="")
        return
    text = Writer(header).text()
    if options.check:
        with open(options.output, encoding="utf-8") as file:
            if file.read() != text:
                sys.exit("libllm/_abi.py is not what include/llm.h gives: run bindings/python/tools/generate.py")
        return
    with open(options.output, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
