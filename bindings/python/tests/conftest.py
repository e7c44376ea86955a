# SPDX-License-Identifier: MIT
"""The model in the box is what tests run on; nothing else is needed."""

import os
import subprocess
import sys

import pytest

import libllm


def pytest_addoption(parser):
    parser.addoption("--skip-nothing", action="store_true", help="a test that would be skipped fails")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.skipped and item.config.getoption("--skip-nothing"):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr[2]}"


ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
BOX = os.path.join(ROOT, "examples", "box", "box-q8_0.gguf")


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def box():
    return BOX


@pytest.fixture(scope="session")
def model():
    return libllm.Model(BOX, engine=libllm.Engine(n_threads=1))


@pytest.fixture
def session(model):
    with model.session() as session:
        yield session


@pytest.fixture
def run_python(tmp_path):
    """Runs a program in a Python of its own, with the same library; returns what it printed."""

    def run(text, *arguments, **options):
        path = tmp_path / "program.py"
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-X", "dev", str(path), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            **options,
        )
        assert done.returncode == 0, done.stderr
        assert "Exception ignored" not in done.stderr, done.stderr
        return done.stdout

    return run
