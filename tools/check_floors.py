#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the plan of the house on the sources; docs/ARCHITECTURE.md has it in words.

    python3 tools/check_floors.py

- Includes go down only; on the same floor only within the same folder. There is no list of exceptions.
- A file includes its own header first, then lower floors top-down, then libc.
- Nothing that a guest must not do: no abort, exit, assert, stdio, environment, locale, signals, allocation outside base/mem.c and base/os_*.c.
- No #if inside a function body.
- CMakeLists.txt, src/llm_all.c, src/llm_vulkan_all.c and the disk agree on the sources and on their order.
- Examples, bindings and tests of the API see llm.h alone.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

FLOORS = ["base", "tensor", "files", "text", "ops", "kernels", "backend", "graph", "model", "session", "api"]

# What a folder may include: folders or single headers. Its own folder, and llm.h, always.
# Headers that lie in a floor's own folder (kernels/kernels.h, backend/backend.h) are that floor's wall: its rooms see them.
LOW = ["tensor", "base"]
MAY_USE = {
    "base": [],
    "tensor": ["base"],
    "files": LOW,
    "text": ["base"],
    "text/chat": ["text/*", "base"],
    "text/grammar": ["text/json_scan.h", "text/trie.h", "base"],
    "ops": LOW,
    "kernels": LOW,
    "kernels/ref": ["kernels/*"] + LOW,
    "kernels/x86": ["kernels/*"] + LOW,
    "kernels/arm": ["kernels/*"] + LOW,
    "backend": ["ops"] + LOW,
    "backend/cpu": ["backend/*", "ops", "kernels/*", "kernels/ref"] + LOW,
    "backend/vulkan": ["backend/*", "ops", "kernels/*", "kernels/ref"] + LOW,
    "backend/verify": ["backend/*", "ops"] + LOW,
    "backend/compare": ["backend/*", "ops"] + LOW,
    "backend/split": ["backend/*", "ops"] + LOW,
    "graph": ["backend/backend.h", "ops"] + LOW,
    "model": ["graph", "files", "text", "backend/backend.h", "ops"] + LOW,
    "session": ["model", "files/saved.h", "graph", "text", "text/chat/conversation.h", "text/chat/answer.h", "text/grammar/grammar.h", "backend/backend.h", "ops"] + LOW,
    "api": ["session", "model", "graph", "text", "files", "backend/backend.h", "ops"] + LOW,
}
ONE_FOLDER = {"model": "model"}     # model/arch belongs to model

FORBIDDEN = [
    (r"abort|exit|_exit|_Exit|quick_exit|atexit|at_quick_exit|raise|kill|assert|longjmp|setjmp|signal|sigaction|__builtin_trap", "a guest never ends or interrupts its host"),
    (r"getenv|secure_getenv|setenv|putenv|environ", "a guest does not read the environment"),
    (r"printf|fprintf|sprintf|snprintf|vprintf|vfprintf|vsprintf|vsnprintf|puts|fputs|putchar|fwrite|fread|fopen|fclose|FILE|stdin|stdout|stderr|perror", "no stdio: messages go into llm_error and the log hook"),
    (r"setlocale|localeconv|strtod|strtof|strtold|atof|scanf|sscanf|strcoll|strxfrm|isalpha|isdigit|isalnum|isspace|isupper|islower|toupper|tolower|strerror", "results do not depend on the locale"),
    (r"alloca|__builtin_alloca", "sizes on the stack are constants"),
    (r"rand|srand|random", "randomness comes from base/rand.h"),
]
ALLOCATION = r"malloc|calloc|realloc|aligned_alloc|posix_memalign|_aligned_malloc|_aligned_free|strdup|free"

ONE_FILES = ["llm_all.c", "llm_vulkan_all.c"]    # include the others; outside the floors

problems = []


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def strip_code(text):
    """Comments and the insides of literals become spaces; lines stay where they are."""
    def blank(match):
        s = match.group(0)
        if s[0] == "/":
            return re.sub(r"[^\n]", " ", s)
        return s[0] + re.sub(r"[^\n]", " ", s[1:-1]) + s[-1]
    pattern = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    return re.sub(pattern, blank, text, flags=re.S)


def folder_of(path):
    folder = os.path.dirname(path)
    return ONE_FOLDER.get(folder.split("/")[0], folder)


def floor_of(path):
    top = path.split("/")[0]
    return FLOORS.index(top) if top in FLOORS else -1


def may_include(user, target):
    """May the file `user` include `target`? Both relative to src/."""
    if target == "llm.h":
        return True
    mine, theirs = folder_of(user), folder_of(target)
    if mine == theirs:
        return True
    for rule in MAY_USE.get(mine, []):
        if rule == target or rule == theirs or (rule.endswith("/*") and rule[:-2] == theirs):
            return True
    return False


def check_includes(path, text):
    quoted_done = False
    last_floor = None
    own = os.path.splitext(path)[0] + ".h"
    first = True
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if not match:
            continue
        target = match.group(2)
        if match.group(1) == "<":
            quoted_done = True
            first = False
            continue
        if target.endswith(".inc") and may_include(path, target):
            continue                        # a generated table, or a body that is instantiated: anywhere in the file
        if target != "llm.h" and not os.path.exists(os.path.join(ROOT, "src", target)):
            problem(path, number, f'"{target}" is not found from src/: includes are written from its root')
            continue
        if not may_include(path, target):
            problem(path, number, f'{folder_of(path)}/ may not include "{target}"')
        if path.endswith(".c") and first and os.path.exists(os.path.join(ROOT, "src", own)) and target != own:
            problem(path, number, f'its own header "{own}" comes first')
        if quoted_done:
            problem(path, number, f'"{target}" after a header of libc: own header, then lower floors top-down, then libc')
        if not first or target != own:
            if last_floor is not None and floor_of(target) > last_floor:
                problem(path, number, f'"{target}" is on a higher floor than the include before it: top-down')
            last_floor = floor_of(target)
        first = False


def check_words(path, code):
    for number, line in enumerate(code.splitlines(), 1):
        if re.match(r"\s*#\s*include", line):
            if re.search(r"<(stdio|assert|locale|setjmp|ctype|wctype|iostream)\.h>", line):
                problem(path, number, f"{line.strip()} is not for the library")
            continue
        line = re.sub(r"format\(printf,", "", line)      # an attribute, not a call
        for words, why in FORBIDDEN:
            match = re.search(rf"(?<![\w.>])({words})\b(?!\s*:)", line)
            if match:
                problem(path, number, f"{match.group(1)}: {why}")
        match = re.search(rf"(?<![\w.>])({ALLOCATION})\s*\(", line)
        if match and not re.match(r"base/(mem|os_\w+)\.c$", path):
            problem(path, number, f"{match.group(1)}: all memory goes through base/mem.h")


def check_conditionals(path, code):
    """#if inside a function body: a '{' at the outermost level that follows ')' opens a body."""
    depth, in_body, before = 0, False, ""
    continued = False
    for number, line in enumerate(code.splitlines(), 1):
        directive = not continued and line.lstrip().startswith("#")
        if directive or continued:
            if directive and in_body and re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else)\b", line):
                problem(path, number, "#if inside a function body: choose between whole functions")
            continued = line.rstrip().endswith("\\")
            continue
        for char in line:
            if char == "{":
                if depth == 0:
                    in_body = before == ")"
                depth += 1
            elif char == "}":
                depth -= 1
                if depth == 0:
                    in_body = False
            if not char.isspace():
                before = char


def check_source_lists():
    with open(os.path.join(ROOT, "CMakeLists.txt")) as f:
        cmake = f.read()
    planned = []
    for number, name in enumerate(FLOORS):
        match = re.search(rf"set\(floor_{number}\s+([^)]*)\)", cmake)
        if not match:
            problem("CMakeLists.txt", 1, f"no list floor_{number}")
            continue
        for path in match.group(1).split():
            if floor_of(path) != number:
                problem("CMakeLists.txt", 1, f"{path} stands in floor_{number}, which is {name}/")
            planned.append(path)
    with open(os.path.join(ROOT, "src/llm_all.c")) as f:
        included = re.findall(r'^#include "([^"]+)"', f.read(), flags=re.M)
    if included != planned:
        wrong = next((i for i, (a, b) in enumerate(zip(included, planned)) if a != b), min(len(included), len(planned)))
        got = included[wrong] if wrong < len(included) else "the end"
        expected = planned[wrong] if wrong < len(planned) else "the end"
        problem("llm_all.c", 1, f"entry {wrong + 1} is {got}, CMakeLists.txt has {expected}: same files, same order")
    on_disk = set()
    for folder, _, files in os.walk(os.path.join(ROOT, "src")):
        for name in files:
            path = os.path.relpath(os.path.join(folder, name), os.path.join(ROOT, "src")).replace(os.sep, "/")
            if path.endswith(".c") and path not in ONE_FILES:
                on_disk.add(path)
    optional = re.search(r"set\(floor_6_vulkan\s+([^)]*)\)", cmake)          # needs headers from elsewhere: no part of llm_all.c
    optional = optional.group(1).split() if optional else []
    with open(os.path.join(ROOT, "src/llm_vulkan_all.c")) as f:
        if re.findall(r'^#include "([^"]+)"', f.read(), flags=re.M) != optional:
            problem("llm_vulkan_all.c", 1, "its files are not those of floor_6_vulkan in CMakeLists.txt, in the same order")
    planned += optional
    for path in sorted(on_disk - set(planned)):
        problem(path, 1, "is in no list of CMakeLists.txt")
    for path in sorted(set(planned) - on_disk):
        problem("CMakeLists.txt", 1, f"lists src/{path}, which does not exist")


def check_outsiders():
    """Programs of users: llm.h, their own files, libc."""
    for top, extra in (("examples", []), ("bindings", []), ("tests/api", ["test.h"]), ("tests/install", [])):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for name in files:
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as f:
                    for number, line in enumerate(f, 1):
                        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                        if match and match.group(1) not in ["llm.h"] + extra and not os.path.exists(os.path.join(folder, match.group(1))):
                            problem(os.path.relpath(path, ROOT), number, f'"{match.group(1)}": this folder sees llm.h alone')


def self_test():
    """The checker finds what it is for."""
    cases = [
        (may_include("kernels/x86/matmul_avx2.c", "ops/ops.h"), False),
        (may_include("kernels/x86/matmul_avx2.c", "kernels/kernels.h"), True),
        (may_include("kernels/x86/matmul_avx2.c", "kernels/ref/ref.h"), False),
        (may_include("backend/cpu/cpu.c", "backend/verify/verify.h"), False),
        (may_include("backend/verify/verify.c", "kernels/kernels.h"), False),
        (may_include("text/bpe.c", "tensor/type.h"), False),
        (may_include("session/step.c", "backend/cpu/cpu.h"), False),
        (may_include("session/step.c", "backend/backend.h"), True),
        (may_include("model/arch/llama.c", "model/model.h"), True),
        (may_include("model/model.c", "session/session.h"), False),
        (may_include("graph/plan.c", "files/catalogue.h"), False),
        (may_include("api/api_model.c", "kernels/kernels.h"), False),
        (may_include("session/step.c", "files/catalogue.h"), False),
    ]
    for number, (got, expected) in enumerate(cases):
        if got != expected:
            problem("check_floors.py", number, "self-test: a rule does not hold")
    for text, expected in (("int f(void)\n{\n#if X\n#endif\n}\n", 1), ("struct s {\n#if X\n#endif\n};\n", 0), ("#if X\nint f(void)\n{\n}\n#endif\n", 0)):
        before = len(problems)
        check_conditionals("x.c", strip_code(text))
        found = len(problems) - before
        del problems[before:]
        if found != expected:
            problem("check_floors.py", 0, "self-test: #if in a function body")
    for text, expected in (("void f(void) { abort(); }", 1), ("/* abort */ char *s = \"exit\";", 0), ("x->free(p);", 0), ("free(p);", 1), ("lm_printf();", 0)):
        before = len(problems)
        check_words("x.c", strip_code(text))
        found = len(problems) - before
        del problems[before:]
        if found != expected:
            problem("check_floors.py", 0, f"self-test: words in {text!r}")


def main():
    self_test()
    n_files = 0
    for folder, _, files in sorted(os.walk(os.path.join(ROOT, "src"))):
        for name in sorted(files):
            if not name.endswith((".c", ".h")) or name in ONE_FILES:
                continue
            path = os.path.relpath(os.path.join(folder, name), os.path.join(ROOT, "src")).replace(os.sep, "/")
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                text = f.read()
            n_files += 1
            if folder_of(path) not in MAY_USE:
                problem(path, 1, "this folder is not in the plan")
            if "SPDX-License-Identifier: MIT" not in text[:300]:
                problem(path, 1, "no SPDX line at its head")
            code = strip_code(text)
            check_includes(path, text)
            check_words(path, code)
            check_conditionals(path, code)
    check_source_lists()
    check_outsiders()
    for line in problems:
        print(line, file=sys.stderr)
    if problems:
        print(f"{len(problems)} problems in {n_files} files", file=sys.stderr)
        return 1
    print(f"{n_files} files stand on their floors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
