#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Changes operators and constants of the GGUF parser one at a time, builds the tests that are about it, and says which changes none of them noticed.

    python3 tools/mutate.py [--every N] [--from K] [FILE...]      # default: src/files/gguf.c, all changes

A change that the compiler refuses counts as noticed. Tests: the container, the hostile models, and the fuzzer of headers with its fixed mutations. Sources are copied;
nothing in the tree is touched. Fails where less than nine tenths are noticed. Changes that mean the same as the original are in SAME, with the reason."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = ["src/base/status.c", "src/base/mem.c", "src/base/host.c", "src/base/utf8.c", "src/base/digest.c", "src/base/os_posix.c", "src/base/thread_posix.c", "src/base/cpu.c",
           "src/tensor/type.c", "src/files/source.c", "src/files/gguf.c", "src/files/catalogue.c", "src/base/fmath.c", "src/base/rand.c"]
TESTS = {"lies": ["tests/files/lies_test.c", "tests/hostile/lies.c", "tests/fuzz/doc.c", "tests/fuzz/models.c"],
         "container": ["tests/files/container_test.c"]}

SWAPS = [(r"<=", "<"), (r">=", ">"), (r"(?<![<\-=])<(?![<=])", "<="), (r"(?<![>\-=])>(?![>=])", ">="), (r"==", "!="), (r"!=", "=="), (r"&&", "||"), (r"\|\|", "&&"),
         (r"(?<=[\w)\]]) \+ (?=[\w(])", " - "), (r"(?<=[\w)\]]) - (?=[\w(])", " + "), (r"(?<=[\w)\]]) \* (?=[\w(])", " + "), (r"(?<=[\w)\]]) / (?=[\w(])", " * "), (r" % ", " / "), (r"!(?=[a-z(])", ""),
         (r"\b(\d+)\b(?![\w.])", None)]
SAME = {
}


def code_only(text):
    """The same text with comments, strings, #lines, enums' comments and types in <> blanked."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    text = re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.S)
    text = re.sub(r"^#[^\n]*", blank, text, flags=re.M)
    return re.sub(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text)


def mutants(text):
    code = code_only(text)
    for pattern, to in SWAPS:
        for m in re.finditer(pattern, code):
            line = code.count("\n", 0, m.start()) + 1
            if to is None:
                yield line, m.start(), m.end(), str(int(m.group(1)) + 1)
            else:
                yield line, m.start(), m.end(), to


def build_and_run(folder, objects, path):
    obj = os.path.join(folder, "mutant.o")
    base = ["cc", "-std=gnu11", "-O1", "-w", "-ffp-contract=off", "-DLLM_BUILDING=1", "-I", ROOT + "/include", "-I", ROOT + "/src", "-I", ROOT + "/tests",
            f"-DLLM_TEST_TREE=\"{ROOT}/tests\"", f"-DLLM_TEST_DATA=\"{ROOT}/../shared/data\""]
    if subprocess.run(base + ["-c", path, "-o", obj], stderr=subprocess.DEVNULL).returncode:
        return "compiler"
    for name, test in objects["tests"].items():
        program = os.path.join(folder, name)
        subprocess.run(["cc"] + [o for o in objects["library"] if not o.endswith(objects["skip"])] + [obj] + test + ["-o", program, "-lpthread", "-lm"], check=True)
        try:
            if subprocess.run([program, "quick"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, timeout=60).returncode not in (0, 77):
                return name
        except subprocess.TimeoutExpired:
            return name + " (hangs)"
    return None


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--every", type=int, default=1)
    ap.add_argument("--from", dest="first", type=int, default=0)
    ap.add_argument("files", nargs="*", default=["src/files/gguf.c"])
    args = ap.parse_args()
    folder = tempfile.mkdtemp(prefix="llm_mutate_")
    n = caught = 0
    try:
        flags = ["-std=gnu11", "-O1", "-w", "-ffp-contract=off", "-DLLM_BUILDING=1", "-I", ROOT + "/include", "-I", ROOT + "/src", "-I", ROOT + "/tests",
                 f"-DLLM_TEST_TREE=\"{ROOT}/tests\"", f"-DLLM_TEST_DATA=\"{ROOT}/../shared/data\""]

        def compile_one(source, tag):
            out = os.path.join(folder, tag + os.path.basename(source) + ".o")
            subprocess.run(["cc"] + flags + ["-c", os.path.join(ROOT, source), "-o", out], check=True)
            return out
        objects = {"library": [compile_one(s, "l_") for s in LIBRARY], "tests": {k: [compile_one(s, "t_") for s in v] for k, v in TESTS.items()}}
        for source in args.files:
            text = open(os.path.join(ROOT, source)).read()
            objects["skip"] = "l_" + os.path.basename(source) + ".o"
            original = os.path.join(folder, "original.c")
            shutil.copy(os.path.join(ROOT, source), original)
            if (who := build_and_run(folder, objects, original)) is not None:
                sys.exit(f"the tests fail without a change: {who}")
            for i, (line, start, end, to) in enumerate(mutants(text)):
                if i < args.first or i % args.every:
                    continue
                mutant = os.path.join(folder, "mutant.c")
                open(mutant, "w").write(text[:start] + to + text[end:])
                n += 1
                if build_and_run(folder, objects, mutant) is not None:
                    caught += 1
                else:
                    shown = text.split("\n")[line - 1].strip()
                    print(f"{source}:{line}: '{text[start:end].strip()}' -> '{to.strip()}' was not noticed: {shown[:150]}", flush=True)
    finally:
        shutil.rmtree(folder)
    print(f"{caught} of {n} changes were noticed, {100 * caught / max(n, 1):.1f} %")
    sys.exit(caught * 10 < n * 9)


if __name__ == "__main__":
    main()
