# SPDX-License-Identifier: MIT
"""The generated module is what the header gives, and what the C compiler makes of it."""

import ctypes
import keyword
import os
import re
import shutil
import subprocess
import sys

import pytest

import libllm
from libllm import _abi

HERE = os.path.dirname(os.path.abspath(__file__))
GENERATE = os.path.join(HERE, "..", "tools", "generate.py")


def test_generated_module_is_current():
    subprocess.run([sys.executable, GENERATE, "--check", "--output", _abi.__file__], check=True)


def test_layout_is_the_compilers(root, tmp_path):
    compiler = next((path for path in map(shutil.which, ("cc", "gcc", "clang")) if path), None)
    if compiler is None:
        pytest.skip("no C compiler here")
    source = tmp_path / "probe.c"
    source.write_bytes(subprocess.run([sys.executable, GENERATE, "--probe"], check=True, stdout=subprocess.PIPE).stdout)
    program = tmp_path / "probe"
    # Compiled but not linked against the library: the functions' addresses are of no interest, their types are.
    subprocess.run(
        [
            compiler,
            "-std=c11",
            "-Wall",
            "-Werror",
            "-I",
            os.path.join(root, "include"),
            "-c",
            str(source),
            "-o",
            str(tmp_path / "whole.o"),
        ],
        check=True,
    )
    text = "\n".join(line for line in source.read_text().split("\n") if "check_llm_" not in line)
    source.write_text(text)
    subprocess.run(
        [compiler, "-std=c11", "-I", os.path.join(root, "include"), str(source), "-o", str(program)], check=True
    )
    lines = subprocess.run([str(program)], check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    seen = 0
    for line in filter(None, lines):
        what, name, *numbers = line.split()
        numbers = [int(number) for number in numbers]
        if what == "constant":
            size = ctypes.sizeof(ctypes.c_size_t) * 8
            assert numbers[0] in (getattr(_abi, name), getattr(_abi, name) - (1 << size)), line
        elif what == "size":
            assert ctypes.sizeof(getattr(_abi, name)) == numbers[0], line
        else:
            struct, field = name.split(".")
            descriptor = getattr(getattr(_abi, struct), field)
            assert [descriptor.offset, descriptor.size] == numbers, line
        seen += 1
    assert seen > 300


def test_every_exported_function_is_there(root):
    with open(os.path.join(root, "src", "llm.map"), encoding="utf-8") as file:
        exported = set(re.findall(r"^\s+(llm_\w+);", file.read(), re.MULTILINE))
    assert set(_abi.FUNCTIONS) == exported


def test_options_are_the_descriptors_fields():
    def fields(struct):
        return {
            name
            for name, _ in struct._fields_
            if not name.startswith(("reserved", "n_biases", "n_dry_b", "n_order", "n_stop"))
        }

    assert set(libllm.SamplerOptions.__annotations__) == fields(_abi.llm_sampler_desc) - {"struct_size", "flags"}
    # The flags of llm_generate_desc are options of their own.
    flags = {name[len("LLM_GENERATE_") :].lower() for name in vars(_abi) if name.startswith("LLM_GENERATE_")}
    flags = {name + "_" * keyword.iskeyword(name) for name in flags}
    own = set(libllm.GenerateOptions.__annotations__) - set(libllm.SamplerOptions.__annotations__)
    assert own == (fields(_abi.llm_generate_desc) - {"struct_size", "flags", "user", "stops"}) | flags | {"stop"}


def test_everything_of_a_descriptor_has_a_parameter():
    """A field that llm.h gains is not forgotten here. (Allocators and thread pools are no business of Python's.)"""
    known = {
        _abi.llm_engine_desc: "n_threads n_arenas n_chunk cpu_tier memory_limit logger vulkan allocator parallel",
        _abi.llm_model_desc: "device n_device_layers progress user pack pack_len",
        _abi.llm_session_desc: "n_ctx state_type when_full n_keep",
        _abi.llm_quantize_desc: "file_type importance progress user",
        _abi.llm_importance_desc: "dataset dataset_len n_chunks chunk_tokens",
        _abi.llm_chat_desc: "template_text template_text_len template_name template_name_len tools tools_len "
        "variables variables_len date date_len",
    }
    for struct, names in known.items():
        fields = {name for name, _ in struct._fields_ if not name.startswith("reserved")}
        assert fields == {"struct_size", "flags", *names.split()}, struct


def test_versions(root):
    with open(os.path.join(root, "CMakeLists.txt"), encoding="utf-8") as file:
        version = re.search(r"project\(llm VERSION ([0-9.]+)", file.read())[1]
    with open(os.path.join(HERE, "..", "pyproject.toml"), encoding="utf-8") as file:
        assert re.search(r'^version = "(.*)"', file.read(), re.MULTILINE)[1] == version
    assert libllm.__version__ == version
    assert libllm.library_version() == tuple(map(int, version.split(".")[:2]))


def test_licence_is_the_repositorys(root):
    with open(os.path.join(root, "LICENSE"), "rb") as whole, open(os.path.join(HERE, "..", "LICENSE"), "rb") as copy:
        assert whole.read() == copy.read()


def test_features():
    assert libllm.has("cpu") and not libllm.has("telepathy")


def test_another_library_than_the_one_in_use():
    libllm.library_version()
    with pytest.raises(RuntimeError, match="in use"):
        libllm.load_library("libsomething.so")
    assert os.path.exists(libllm.load_library())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names a library of Linux")
def test_no_library(run_python):
    out = run_python("""
import libllm
for path in "/nowhere/libllm.so", "libc.so.6":
    try:
        libllm.load_library(path)
    except (OSError, ImportError) as error:
        print(type(error).__name__, error)
""")
    lines = out.splitlines()
    assert lines[0].startswith("OSError") and "LIBLLM_LIBRARY" in lines[0]
    assert lines[1].startswith("ImportError") and "llm_version" in lines[1]
