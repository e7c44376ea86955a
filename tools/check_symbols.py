#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what the compiled library shows, needs and keeps.

    check_symbols.py --objects LIST [--shared libllm.so] [--nm nm] [--readelf readelf]

LIST: a file with one object per line (CMakeFiles/llm_objects.dir/src/...).
- Every global symbol of the objects begins with llm_ (in the header) or lm_.
- No writable data, no constructors: nothing outlives an engine.
- Calls go down only: an object uses symbols of its own folder and of lower floors; a concrete backend is reached through the
  constructors that backend/backend.h declares.
- The shared library exports what llm.h declares and src/llm.map lists, no more, imports what stands in IMPORTS, no more, and has no data that stays
  writable, no constructor and no destructor but those in KEEPS.
"""
import argparse
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from check_floors import FLOORS, ROOT, floor_of, folder_of  # noqa: E402

IMPORTS = set("""
    memcpy memmove memset memcmp memchr memrchr strcspn strlen strcmp strncmp strchr strrchr strstr bcmp
    malloc calloc free aligned_alloc posix_memalign qsort bsearch
    fma fmaf sqrt sqrtf
    open open64 openat openat64 close read pread pread64 fstat fstat64 stat stat64 lseek lseek64
    getpid sysconf getauxval sched_yield sched_getaffinity sched_setaffinity __sched_cpucount syscall
    clock_gettime nanosleep clock_nanosleep __errno_location
    madvise sigfillset
    pwrite pwrite64 fsync rename unlink getrlimit getrlimit64
    dlopen dlsym dlclose
    mmap mmap64 munmap
""".split())
# What compilers add by themselves.
IMPORTS_MATCH = re.compile(r"pthread_\w+|sem_\w+|__stack_chk_\w+|__\w+_chk|__cxa_finalize|__gmon_start__|__getauxval|_ITM_\w+TMCloneTable|__tls_get_addr")
# What the C runtime puts into every shared object: names in .data, .bss and the like, and bytes of its lists of functions. On aarch64 libgcc asks
# at the start which atomics the processor has. (Constructors of our own are found in the objects.)
KEEPS = {"__dso_handle", "completed.0", "__TMC_END__", "_edata", "_end", "__bss_start", "__data_start", "data_start", "__EH_FRAME_BEGIN__", "object.0",
         "__aarch64_have_lse_atomics"}
KEEPS_BYTES = {".data": 16, ".bss": 64, ".init_array": 16, ".fini_array": 8, ".tm_clone_table": 0, ".got.plt": None, ".got": None, ".dynamic": None, ".data.rel.ro": None}

problems = []


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def source_of(path):
    match = re.search(r"llm_objects\.dir/src/(.*)\.(o|obj)$", path.replace("\\", "/"))
    return match.group(1) if match else None


def header_functions():
    with open(os.path.join(ROOT, "include/llm.h"), encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    return set(re.findall(r"LLM_API\s+[^;(]*?\b(llm_\w+)\s*\(", text))


def backend_functions():
    with open(os.path.join(ROOT, "src/backend/backend.h"), encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    return set(re.findall(r"\b(lm_\w+)\s*\(", text))


def check_objects(paths, nm, readelf):
    public, constructors = header_functions(), backend_functions()
    defined, used = {}, {}
    for path in paths:
        source = source_of(path)
        for line in output(nm, path).splitlines():
            match = re.match(r"(?:[0-9a-fA-F]+)?\s+(\w)\s+(\S+)$", line)
            if not match:
                continue
            kind, name = match.groups()
            if kind == "U":
                used.setdefault(source, set()).add(name)
            elif kind.isupper():
                if not (name.startswith("lm_") or name in public):
                    problems.append(f"{source}: global symbol {name} begins neither with lm_ nor is it in llm.h")
                defined[name] = source
        for line in output(readelf, "-SW", path).splitlines():
            match = re.match(r"\s*\[\s*\d+\]\s+(\S+)\s+\S+\s+\S+\s+\S+\s+([0-9a-f]+)\s", line)
            if not match or int(match.group(2), 16) == 0:
                continue
            section = match.group(1)
            if section.startswith((".data.rel.ro", ".rela", ".rel")):
                continue
            if section.startswith((".data", ".bss", ".tdata", ".tbss", ".init_array", ".fini_array", ".ctors", ".dtors")):
                problems.append(f"{source}: section {section} holds {int(match.group(2), 16)} bytes: no mutable globals, no constructors")
    for source, names in sorted(used.items()):
        for name in sorted(names):
            owner = defined.get(name)
            if not owner or owner == source:
                continue
            above, same = floor_of(owner) > floor_of(source), floor_of(owner) == floor_of(source)
            mine, theirs = folder_of(source), folder_of(owner)
            rooms = FLOORS[floor_of(source)]
            if above or (same and mine != theirs and rooms not in (mine, theirs)):
                problems.append(f"{source}: uses {name} of {owner}: calls go down only")
            if theirs.startswith("backend/") and not mine.startswith("backend") and name not in constructors:
                problems.append(f"{source}: uses {name} of {owner}: backends are reached through backend/backend.h")
    for name in sorted(public - set(defined)):
        problems.append(f"llm.h declares {name}, which no object defines")
    return len(defined)


def check_shared(path, nm, readelf):
    public = header_functions()
    with open(os.path.join(ROOT, "src/llm.map"), encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    listed = set(re.findall(r"\b(llm_\w+);", text))
    for name in sorted(public ^ listed):
        problems.append(f"{name} stands in only one of include/llm.h and src/llm.map")
    exported = set()
    for line in output(nm, "-D", "--defined-only", path).splitlines():
        kind, name = line.split()[-2:]
        if kind == "A":
            continue
        name, _, version = name.partition("@@")
        exported.add(name)
        if not version.startswith("LLM_"):
            problems.append(f"{path}: exports {name} without a version node")
    for name in sorted(exported - listed):
        problems.append(f"{path}: exports {name}, which src/llm.map does not list")
    for name in sorted(listed - exported):
        problems.append(f"{path}: does not export {name}")
    for line in output(nm, "-D", "--undefined-only", path).splitlines():
        name = line.split()[-1].partition("@")[0]
        if name not in IMPORTS and not IMPORTS_MATCH.fullmatch(name):
            problems.append(f"{path}: imports {name}: if a guest may call it, add it to IMPORTS in tools/check_symbols.py")
    check_writable(path, nm, readelf)
    return len(exported)


def check_writable(path, nm, readelf):
    """What the loader only writes once (.data.rel.ro, .got) is no state; all else that can be written is listed."""
    writable = {}
    for line in output(readelf, "-SW", path).splitlines():
        match = re.match(r"\s*\[\s*(\d+)\]\s+(\.\S+)\s+\S+\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+\S+\s+(\S*W\S*)\s", line)
        if match:
            name, start, size = match.group(2), int(match.group(3), 16), int(match.group(4), 16)
            writable[name] = (start, start + size)
            if name not in KEEPS_BYTES or (KEEPS_BYTES[name] is not None and size > KEEPS_BYTES[name]):
                problems.append(f"{path}: section {name} can be written and holds {size} bytes")
    for line in output(nm, path).splitlines():
        match = re.match(r"([0-9a-f]+) [dDbBvV] (\S+)$", line)
        for section in (".data", ".bss"):
            start, end = writable.get(section, (0, 0))
            if match and start <= int(match.group(1), 16) < end and match.group(2) not in KEEPS:
                problems.append(f"{path}: {match.group(2)} in {section} can be written")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", required=True)
    parser.add_argument("--shared")
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--readelf", default="readelf")
    args = parser.parse_args()
    with open(args.objects) as f:
        paths = [line.strip() for line in f if line.strip()]
    n_defined = check_objects(paths, args.nm, args.readelf)
    n_exported = check_shared(args.shared, args.nm, args.readelf) if args.shared else 0
    for line in problems:
        print(line, file=sys.stderr)
    if problems:
        print(f"{len(problems)} problems", file=sys.stderr)
        return 1
    print(f"{len(paths)} objects, {n_defined} global symbols, {n_exported} exported")
    return 0


if __name__ == "__main__":
    sys.exit(main())
