# SPDX-License-Identifier: MIT
"""README's recipes run as they stand, and print what they should."""

import os
import re
import shutil

import pytest

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "README.md")

# What each recipe prints, at least.
EXPECTED = [
    [r"."],
    [r"Hello, Morlea!", r"17 plus 25 is 42\."],
    [r"^Once upon a time.*\n\nIn a forest"],
    [r"' time'", r"^2048 ", r"^True$"],
    [r"^\d+ MB", r"^LLM_E_FORMAT at byte"],
]


def recipes():
    with open(README, encoding="utf-8") as file:
        return re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL)


def test_there_are_five():
    assert len(recipes()) == len(EXPECTED) == 5


@pytest.mark.parametrize("number", range(5))
def test_recipe(number, run_python, box, tmp_path):
    shutil.copy(box, tmp_path / "model.gguf")
    out = run_python(recipes()[number])
    for pattern in EXPECTED[number]:
        assert re.search(pattern, out, re.MULTILINE | re.DOTALL), out
