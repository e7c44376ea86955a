# SPDX-License-Identifier: MIT
"""Ctrl-C, threads, asyncio, forks, life without NumPy."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import libllm
from libllm import State

POSIX = pytest.mark.skipif(os.name != "posix", reason="sends a signal of POSIX")

INTERRUPTED = """
import signal, sys, time
import libllm

def busy(what):                             # `what` runs until the parent's signal comes
    print("ready", flush=True)
    try:
        what()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    else:
        print("it came to its end", flush=True)

signal.signal(signal.SIGINT, signal.default_int_handler)
engine = libllm.Engine(n_threads=1, cpu_tier="reference")
model = engine.load(sys.argv[1])
session = model.session()
kind = sys.argv[2]
if kind == "load":
    busy(lambda: [engine.load(sys.argv[1]) for _ in range(10000)])
elif kind == "read":
    class Slow:                             # the signal comes while the file's Python code runs on another thread
        def __init__(self, path):
            self.file = open(path, "rb")
        def seek(self, *arguments):
            return self.file.seek(*arguments)
        def read(self, n):
            time.sleep(0.05)
            return self.file.read(min(n, 5000))
    busy(lambda: engine.load(Slow(sys.argv[1])))
elif kind == "reply":
    def reply():
        while True:
            session.rewind(0)
            session.generate("Once upon a time", ignore_end=True).text()
    busy(reply)
elif kind == "hook":
    def reply():
        while True:
            session.rewind(0)
            session.generate("Once upon a time", ignore_end=True, on_logits=lambda logits: None).text()
    busy(reply)
elif kind == "prompt":
    def read():
        while True:
            session.rewind(0)
            session.append([5] * 500)
            session.run()
    busy(read)
session.rewind(0)
print(session.generate("Once upon a time", max_tokens=12).text())
"""


@POSIX
@pytest.mark.parametrize("kind", ["load", "read", "reply", "hook", "prompt"])
def test_interrupt(box, model, tmp_path, kind):
    path = tmp_path / "program.py"
    path.write_text(INTERRUPTED)
    child = subprocess.Popen(
        [sys.executable, str(path), box, kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert child.stdout.readline() == "interrupted\n"
    print(f"{kind}: interrupted after {(time.monotonic() - began) * 1000:.1f} ms")
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0 and err == ""
    assert out == model.generate("Once upon a time", max_tokens=12).text() + "\n"


@POSIX
def test_interrupts_at_any_moment(run_python, box):
    """Whatever a signal breaks off, nothing is lost and nothing is used after its end."""
    out = run_python(
        """
import gc, os, random, signal, sys, threading, time
import libllm

signal.signal(signal.SIGINT, signal.default_int_handler)
engine = libllm.Engine(n_threads=1)
model = engine.load(sys.argv[1])
with open(sys.argv[1], "rb") as file:
    data = file.read()
works = [
    lambda: libllm.Model(bytearray(data), engine=libllm.Engine(n_threads=1)).generate("Once").text(),
    lambda: engine.load(sys.argv[1], progress=lambda done: None).close(),
    lambda: model.generate("Once upon a time", ignore_end=True).text(),
    lambda: model.generate("Once upon a time", temperature=1.0, on_logits=lambda logits: None).text(),
]
for work in works:                          # what is kept for later calls is there from now on
    work()
gc.collect()
before = engine.info.memory_used
random.seed(1)
interrupted = 0
for number in range(60):
    try:
        threading.Timer(random.random() * 0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        while True:
            works[number % len(works)]()
    except KeyboardInterrupt:
        interrupted += 1
gc.collect()
print(interrupted, engine.info.memory_used - before, model.generate("Once upon a time", max_tokens=12).text())
""",
        box,
    )
    assert out == "60 0 " + libllm.Model(box).generate("Once upon a time", max_tokens=12).text() + "\n"


def test_threads_in_parallel(box):
    model = libllm.Model(box, engine=libllm.Engine(n_threads=1))
    prompts = ["Once upon a time", "In a forest", "By a river", "On a farm"]
    alone = [model.generate(prompt, max_tokens=60, temperature=0.7, seed=9).text() for prompt in prompts]
    together = [None] * len(prompts)

    def tell(index):
        together[index] = model.generate(prompts[index], max_tokens=60, temperature=0.7, seed=9).text()

    threads = [threading.Thread(target=tell, args=(index,)) for index in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert together == alone


def test_the_interpreter_is_free_during_a_step(box):
    """Another thread's Python runs while a step computes."""
    model = libllm.Model(box, engine=libllm.Engine(n_threads=1, cpu_tier="reference"))
    session = model.session()
    inside, counted, over = threading.Event(), [], threading.Event()

    def count():
        inside.wait(60)
        while not over.is_set():
            counted.append(1)
            time.sleep(0)

    counter = threading.Thread(target=count)
    counter.start()
    session.append([7] * 100)
    inside.set()
    before = len(counted)
    session.step(30.0)  # one call of C, of many milliseconds
    after = len(counted)
    over.set()
    counter.join(60)
    assert session.info.n_prompt > 0 and after - before > 10


def test_one_session_belongs_to_one_thread(box):
    model = libllm.Model(box, engine=libllm.Engine(n_threads=1))
    session = model.session()
    seen = []

    def hook(logits):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)

    def other():
        try:
            session.append("me too")
        except libllm.BusyError as error:
            seen.append(error)

    session.generate("Once", max_tokens=1, on_logits=hook).text()
    assert len(seen) == 1 and isinstance(seen[0], RuntimeError)


def test_cancel_and_close_from_another_thread(box):
    model = libllm.Model(box, engine=libllm.Engine(n_threads=1))
    for end in ("cancel", "close"):
        session = model.session()
        begun, result = threading.Event(), []

        def run():
            try:
                for _number in range(10000):
                    session.rewind(0)
                    reply = session.generate("Once upon a time", ignore_end=True)
                    for _ in reply:
                        begun.set()
                    if reply.end is State.END_CANCELLED:
                        result.append("cancelled")
                        return
            except libllm.StateError as error:
                result.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        assert begun.wait(60)
        while thread.is_alive():
            getattr(session, end)()
            thread.join(0.01)
        assert result[0] == "cancelled" or "closed" in result[0] or end == "close"


def test_async(model):
    async def main():
        ticks = []

        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.001)

        ticking = asyncio.ensure_future(tick())
        pieces = []
        async for piece in model.agenerate("Once upon a time", max_tokens=40):
            pieces.append(piece)
        both = await asyncio.gather(
            *(model.agenerate(text, max_tokens=40).text() for text in ("Once upon a time", "In a forest"))
        )
        session = model.session()
        session.append("Once upon a time")
        assert await session.arun() is State.READY
        ticking.cancel()
        return pieces, both, ticks

    pieces, both, ticks = asyncio.run(main())
    assert len(pieces) > 5 and len(ticks) > 1
    assert "".join(pieces) == both[0] == model.generate("Once upon a time", max_tokens=40).text()
    assert both[1] == model.generate("In a forest", max_tokens=40).text()


def test_async_cancel(box):
    async def main():
        model = libllm.Model(box, engine=libllm.Engine(n_threads=1, cpu_tier="reference"))
        session = model.session()
        seen = asyncio.Event()

        async def tell():
            async for _ in session.agenerate("Once upon a time", ignore_end=True):
                seen.set()

        task = asyncio.ensure_future(tell())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert session.state is State.END_CANCELLED
        n = session.n_tokens
        text = await session.agenerate(" and", max_tokens=4).text()  # usable
        assert text and session.n_tokens > n

        # In the middle of a step: a prompt that takes a while.
        session.rewind(0)
        session.append([9] * 400)
        task = asyncio.ensure_future(session.arun())
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        session.rewind(0)
        assert session.generate("Once", max_tokens=3).text()

        reply = model.agenerate("Once upon a time", ignore_end=True)
        async for _ in reply:
            break
        await reply.aclose()
        assert reply.end is State.END_CANCELLED

        def refuse(logits):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await model.agenerate("Once", on_logits=refuse).text()

    asyncio.run(main())


def test_without_numpy(run_python, box):
    out = run_python(
        """
import sys
sys.modules["numpy"] = None                 # as if it were not there
import libllm
model = libllm.Model(sys.argv[1])
session = model.session()
session.append("Once upon a time", score=True)
session.run()
logits = session.logits()
assert type(logits) is memoryview and logits.readonly and len(logits) == 2048 and logits.format == "f"
token = max(range(len(logits)), key=logits.__getitem__)
assert token == session.best(1)[0][0]
try:
    session.append([token])
except BufferError:
    print("borrowed")
del logits
session.append([token])
session.run()
print(len(session.scores()) == session.n_tokens)
def hook(logits):
    logits[5] = 1000.0
print(session.generate(max_tokens=1, on_logits=hook).text() == model.tokenizer.decode([5]), session.tokens[-1])
""",
        box,
    )
    lines = out.split()
    assert lines[0] == "borrowed" and lines[1] == "True" and lines[-1] == "5"


def test_import_is_light(run_python):
    assert run_python("import sys, libllm; print('numpy' in sys.modules)") == "False\n"


@POSIX
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork(run_python, box):
    out = run_python(
        """
import os, sys, libllm
model = libllm.Model(sys.argv[1], engine=libllm.Engine(n_threads=2))
session = model.session()
child = os.fork()
if child == 0:
    try:
        session.append("x")
        status = 1
    except libllm.StateError:
        own = libllm.Model(sys.argv[1], engine=libllm.Engine(n_threads=2))
        status = 0 if own.generate("Once upon a time", max_tokens=3).text() else 2
    del session, model                      # nothing of the parent's is touched
    import gc; gc.collect()
    os._exit(status)
_, status = os.waitpid(child, 0)
print(status, session.generate("Once", max_tokens=2).text() != "")
""",
        box,
    )
    assert out == "0 True\n"


def test_exit_with_live_objects(run_python, box):
    """What outlives the modules goes silently."""
    out = run_python(
        """
import asyncio, builtins, sys, threading, libllm
model = libllm.Model(sys.argv[1])
builtins.kept = [model, model.session(), libllm.Chat(model), libllm.Sampler(model, top_k=3), model.tokenizer]
sys.kept = model.generate("Once"), model.session()
sys.kept[1].append("Once")
sys.kept[1].run()
threading.kept = sys.kept[1].logits(), model.generate("Once", on_logits=print)
next(sys.kept[0])
print("bye")
""",
        box,
    )
    assert out == "bye\n"


def test_exit_in_the_middle(run_python, box):
    """The interpreter ends while daemon threads are in the library."""
    out = run_python(
        """
import sys, threading, libllm
model = libllm.Model(sys.argv[1], engine=libllm.Engine(n_threads=2))
begun = threading.Event()
def work():
    while True:
        for _ in model.generate("Once upon a time"):
            begun.set()
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
begun.wait()
print("bye")
""",
        box,
    )
    assert out == "bye\n"
