#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What programs were compiled against, written down: tests/abi/table.inc and tests/abi/llm.abi.

    abi.py check [--cc CC]     the table is what include/llm.h gives; it holds on every target that CC and clang compile for; the
                               functions and types of src/api/ are those of the dump, by abidiff (exit status 77 where that is missing)
    abi.py renew [--cc CC]     adds to both what llm.h has got new. What stands there is never changed: see RULES
    abi.py grown HEADER        prints llm.h as a later version might be: every struct with a struct_size is 16 bytes longer
    abi.py bare HEADER         prints a header without its comments: for tests/abi/earlier

RULES: constants keep their values, functions their types, fields their names, places and sizes (reserved ones may get a name);
structs with a struct_size grow, others do not; nothing goes. Where one must be broken before 1.0, CHANGELOG.md says so, and
the line is taken out of the table by hand.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bindings/python/tools"))
from generate import Array, Base, Function, Header, Pointer  # noqa: E402

HEADER = os.path.join(ROOT, "include/llm.h")
TABLE = os.path.join(ROOT, "tests/abi/table.inc")
DUMP = os.path.join(ROOT, "tests/abi/llm.abi")

BYTES = {"char": 1, "int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4, "float": 4, "int64_t": 8, "uint64_t": 8, "double": 8}
# Beside the compiler's own target. No C library is needed for any of them.
CLANG_TARGETS = ["x86_64-linux-gnu", "aarch64-linux-gnu", "x86_64-w64-mingw32", "i686-linux-gnu", "i686-w64-mingw32", "armv7a-linux-gnueabihf", "wasm32",
                 "riscv64-linux-gnu", "aarch64-apple-darwin"]
GCC_TARGETS = ["aarch64-linux-gnu-gcc", "x86_64-w64-mingw32-gcc"]


def fail(text):
    sys.exit(f"FAILED: {text}")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


# ---- the table ---------------------------------------------------------------------------------------------------


class Layout:
    """Sizes and places by the rule that no struct has padding: then they depend on the size of a pointer alone."""

    def __init__(self, header):
        self.sizes = {name: (n, n) for name, n in BYTES.items()}
        self.sizes["size_t"] = (8, 4)
        self.lines = []
        for kind, *item in header.items:
            getattr(self, kind)(*item)

    def size(self, kind):
        if isinstance(kind, Pointer):
            return (8, 4)
        if isinstance(kind, Array):
            wide, narrow = self.size(kind.of)
            return (wide * kind.count, narrow * kind.count)
        return self.sizes[kind.name]

    def constants(self, pairs):
        self.lines += [f"VALUE({name}, {value.replace('c_size_t(-1).value', 'SIZE_MAX')})" for name, value in pairs]

    def alias(self, name, kind):
        self.sizes[name] = self.size(kind)
        self.lines.append("TYPE({0}, {1}, {2})".format(name, *self.sizes[name]))

    def opaque(self, name):
        pass

    def struct(self, name, fields):
        at, lines = (0, 0), []
        for kind, field in fields:
            size = self.size(kind)
            lines.append(f"FIELD({name}, {field}, {at[0]}, {at[1]}, {size[0]}, {size[1]})")
            at = (at[0] + size[0], at[1] + size[1])
        self.sizes[name] = at
        self.lines += [f"TYPE({name}, {at[0]}, {at[1]})"] + lines

    def function(self, name, kind):
        parameters = [p.declare("") for p, _ in kind.parameters]
        self.lines.append(f"FUNCTION({kind.result.declare('')}, {name}, ({', '.join(parameters) or 'void'}))")


def table_lines(text):
    return [line for line in text.split("\n") if re.match(r"[A-Z]+\(", line)]


def key(line):
    """What a line of the table is about."""
    return tuple(re.match(r"(VALUE|TYPE)\((\w+)|(FIELD)\((\w+, \w+)|(FUNCTION)\([^(]*?(\w+), \(", line).group(0).split(", "))


def broken(old, new):
    """What new lines take away from old ones."""
    frozen = {re.match(r"FIELD\((\w+)", line).group(1) for line in old if ", struct_size, 0" in line}
    now = {key(line): line for line in new}
    places = {re.sub(r", \w+,", ",", line, count=1) for line in new if line.startswith("FIELD")}
    for line in old:
        have = now.get(key(line))
        if have == line or (have is None and "reserved" in line and re.sub(r", \w+,", ",", line, count=1) in places):
            continue
        name = re.match(r"\w+\((\w+)", line).group(1)
        if have and line.startswith("TYPE") and name in frozen:
            was, is_now = ([int(n) for n in re.findall(r", (\d+)", text)] for text in (line, have))
            if is_now[0] > was[0] and is_now[1] > was[1]:
                continue
        yield f"{line} has become {have or 'nothing'}"


def table_text(lines):
    return ("/* SPDX-License-Identifier: MIT\n * What programs were compiled against. Written by tools/abi.py renew, which only adds.\n"
            " * VALUE(name, value) TYPE(name, bytes, with pointers of 4) FIELD(struct, name, place, with pointers of 4, bytes, with pointers of 4) FUNCTION(...) */\n"
            + "\n".join(lines) + "\n")


def check_targets(cc):
    """Compiles the table for each target. Returns the targets' names."""
    def compiles(command):
        return subprocess.run(command + ["-fsyntax-only", "-x", "c", "-"], input="#include <stdint.h>\n", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              universal_newlines=True).returncode == 0

    bare = ["-std=c11", "-ffreestanding", "-Wall", "-Wextra", "-pedantic", "-Wpadded", "-Werror", "-I" + os.path.join(ROOT, "include")]
    commands = {"this machine": [cc], "this machine, -m32": [cc, "-m32"]}
    commands.update({name: [name] for name in GCC_TARGETS if shutil.which(name)})
    if shutil.which("clang"):
        commands.update({f"clang, {name}": ["clang", f"--target={name}"] for name in CLANG_TARGETS})
    done = []
    for name, command in commands.items():
        if not compiles(command + bare):
            print(f"note: not compiled for {name}")
            continue
        result = subprocess.run(command + bare + ["-fsyntax-only", os.path.join(ROOT, "tests/abi/table.c")], stderr=subprocess.PIPE, universal_newlines=True)
        if result.returncode != 0:
            fail(f"tests/abi/table.inc does not hold for {name}:\n{result.stderr}")
        done.append(name)
    return done


# ---- the dump ----------------------------------------------------------------------------------------------------


def dump(cc, out):
    """The public part of the library, as its debug information has it: src/api alone, for all that is public stands there."""
    with tempfile.TemporaryDirectory() as folder:
        source, shared = os.path.join(folder, "api.c"), os.path.join(folder, "libllm.so")
        with open(source, "w", encoding="utf-8") as f:
            f.writelines(f'#include "api/{name}"\n' for name in sorted(os.listdir(os.path.join(ROOT, "src/api"))) if name.endswith(".c"))
        version = re.search(r"project\(llm VERSION (\d+\.\d+)", read(os.path.join(ROOT, "CMakeLists.txt"))).group(1)
        # DWARF 4: abidw of 2022 reads no other of all compilers.
        subprocess.run([cc, "-std=c11", "-gdwarf-4", "-O0", "-shared", "-fPIC", "-fvisibility=hidden", "-DLLM_BUILDING=1", f"-I{ROOT}/include", f"-I{ROOT}/src", source,
                        f"-Wl,--version-script={ROOT}/src/llm.map", f"-Wl,-soname,libllm.so.{version}", "-o", shared], check=True)
        subprocess.run(["abidw", "--headers-dir", f"{ROOT}/include", "--drop-private-types", "--no-show-locs", "--no-corpus-path", "--no-comp-dir-path", "--no-architecture",
                        "--no-elf-needed", "--drop-undefined-syms", "--out-file", out, shared], check=True)
    text = re.sub(r" path='[^']*'", " path='api.c'", read(out))     # where it was compiled is nobody's business
    with open(out, "w", encoding="utf-8") as f:
        f.write(text)


def abidiff(cc, *options):
    """Compares the dump with src/api. Returns abidiff's status (4: something differs, 8: and is not compatible) and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        now = os.path.join(folder, "now.abi")
        dump(cc, now)
        result = subprocess.run(["abidiff", "--no-show-locs", *options, DUMP, now], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if result.returncode & 3:
        fail(f"abidiff: {result.stdout}")
    return result.returncode, result.stdout


# ---- commands ----------------------------------------------------------------------------------------------------


def check(cc):
    old, new = table_lines(read(TABLE)), Layout(Header(read(HEADER))).lines
    for line in broken(old, new):
        fail(f"include/llm.h breaks programs that were compiled against it: {line}")
    if old != new:
        fail("include/llm.h has more than tests/abi/table.inc: run tools/abi.py renew")
    done = check_targets(cc)
    print(f"{len(new)} lines hold for {len(done)} targets: {'; '.join(done)}")
    if not shutil.which("abidiff"):
        print("SKIP: abidiff is not installed (abigail-tools)")
        sys.exit(77)
    status, text = abidiff(cc)
    if status:
        fail(f"{text}\nThe functions or types of src/api are not those of tests/abi/llm.abi. If programs keep running all the same: tools/abi.py renew")
    print("abidiff finds no difference")


def renew(cc):
    new = Layout(Header(read(HEADER))).lines
    old = table_lines(read(TABLE)) if os.path.exists(TABLE) else []
    problems = list(broken(old, new))
    if os.path.exists(DUMP):
        status, text = abidiff(cc, "--no-added-syms")
        print(text, end="")
        if status & 8:
            problems.append("abidiff says that programs would break")
    if problems:
        fail("\n".join(problems))
    with open(TABLE, "w", encoding="utf-8") as f:
        f.write(table_text(new))
    dump(cc, DUMP)


def bare(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.sub(r"\n{2,}", "\n", re.sub(r"[ \t]+$", "", text, flags=re.M)).strip() + "\n"


def grown(text):
    return re.sub(r"(typedef struct \w+ \{\s*uint32_t struct_size\b[^{}]*)\}", r"\1    uint64_t later_[2];\n}", bare(text))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["check", "renew", "grown", "bare"])
    parser.add_argument("header", nargs="?", default=HEADER)
    parser.add_argument("--cc", default="cc")
    options = parser.parse_args()
    if options.command in ("bare", "grown"):
        sys.stdout.write({"bare": bare, "grown": grown}[options.command](read(options.header)))
    else:
        {"check": check, "renew": renew}[options.command](options.cc)


if __name__ == "__main__":
    main()
