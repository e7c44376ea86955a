# SPDX-License-Identifier: MIT
"""Engines, models, tokenizers: sources, progress, errors, what they tell."""

import gc
import io
import itertools
import mmap
import pickle
import shutil
import threading
import weakref

import pytest

import libllm


def story(model):
    return model.generate("Once upon a time", max_tokens=12).text()


def test_sources_are_equal(box, model, tmp_path):
    with open(box, "rb") as file:
        data = file.read()
    with open(box, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        engine = libllm.Engine(n_threads=1)
        for source in (box, data, bytearray(data), memoryview(data), file, io.BytesIO(data), mapped, [box]):
            assert story(engine.load(source)) == story(model), type(source)
    copy = tmp_path / "a model — with a name.gguf"
    shutil.copy(box, copy)
    assert story(libllm.Model(copy)) == story(model)


def test_what_is_no_source(tmp_path):
    for source in (None, 12, [], io.StringIO("GGUF"), b"", bytearray(), memoryview(b"")):
        with pytest.raises((TypeError, ValueError)):
            libllm.Model(source)


def test_information(model):
    info = model.info
    assert (info.architecture, info.n_vocab, info.n_ctx_train) == ("qwen3", 2048, 512)
    assert model.metadata["general.architecture"] == "qwen3"
    assert model.metadata["qwen3.block_count"] == info.n_layers
    tokens = model.metadata["tokenizer.ggml.tokens"]
    assert len(tokens) == info.n_vocab and tokens[1] == "<|im_start|>"
    assert len(model.metadata) == len(list(model.metadata)) and "general.name" in model.metadata
    with pytest.raises(KeyError):
        model.metadata["no.such.key"]
    assert sum(tensor.bytes for tensor in model.tensors) == info.weight_bytes
    assert model.tensors[0].dims == (info.n_embd, info.n_vocab)
    assert "token_embd" in model.plan or len(model.plan) > 100
    engine = model.engine.info
    assert engine.n_threads == 1 and 0 < engine.memory_used <= engine.memory_peak
    assert model.engine.devices[0].kind == "cpu" and model.engine.device_report(1)


def test_tokenizer(model, box):
    for tokenizer in (model.tokenizer, libllm.Tokenizer(box)):
        tokens = tokenizer.encode("Once upon a time, naïve 🦊.")
        assert tokenizer.decode(tokens) == "Once upon a time, naïve 🦊."
        assert tokenizer.encode("") == [] and tokenizer.decode([]) == ""
        assert len(tokenizer) == 2048
        end = tokenizer.encode("<|im_end|>", parse_special=True)
        assert len(end) == 1 and len(tokenizer.encode("<|im_end|>")) > 1
        assert tokenizer.decode(end) == "" and tokenizer.decode(end, show_special=True) == "<|im_end|>"
        assert tokenizer.token(end[0]).kind == "control" and tokenizer.token(end[0]).ends
        assert tokenizer.special("eos") in range(2048) and tokenizer.special("fim_prefix") is None
        long = "word " * 5000
        assert tokenizer.decode(tokenizer.encode(long)) == long
        with pytest.raises(libllm.InvalidError):
            tokenizer.token(2048)
        with pytest.raises(ValueError):
            tokenizer.special("nothing")
        with pytest.raises(TypeError):
            tokenizer.decode(["a"])


def test_vocabulary_only(box):
    model = libllm.Model(box, vocab_only=True)
    assert model.tokenizer.encode("Once") == model.tokenizer.encode(b"Once")
    with pytest.raises(libllm.StateError) as caught:
        model.session()
    assert isinstance(caught.value, RuntimeError)


def test_progress(box):
    seen = []
    libllm.Model(box, progress=lambda done: seen.append((done, threading.current_thread())))
    fractions = [done for done, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert {thread for _, thread in seen} == {threading.current_thread()}


def test_tqdm(box):
    tqdm = pytest.importorskip("tqdm")
    with tqdm.tqdm(total=1.0, file=io.StringIO()) as bar:
        libllm.Model(box, progress=lambda done: bar.update(done - bar.n))
        assert bar.n == 1.0


def test_progress_that_raises(box):
    class Enough(Exception):
        pass

    def progress(done):
        raise Enough

    with pytest.raises(Enough):
        libllm.Model(box, progress=progress)


def test_file_that_raises(box):
    class Broken(io.BytesIO):
        def read(self, *arguments):
            raise RuntimeError("no more")

    with open(box, "rb") as file:
        data = file.read()
    with pytest.raises(RuntimeError, match="no more") as caught:
        libllm.Model(Broken(data))
    assert isinstance(caught.value.__cause__, libllm.LLMError)

    class Short(io.BytesIO):
        def seek(self, offset, whence=0):
            return super().seek(offset, whence) + (1000 if whence == 2 else 0)

    with pytest.raises((EOFError, libllm.LLMError)):
        libllm.Model(Short(data[:-5000]))


def test_errors(box, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        libllm.Model(tmp_path / "nothing.gguf")
    error = caught.value
    assert isinstance(error, libllm.NotFoundError) and error.status == libllm._abi.LLM_E_NOT_FOUND
    assert error.status_name == "LLM_E_NOT_FOUND" and "nothing.gguf" in error.message == str(error)
    with pytest.raises(ValueError) as caught:
        libllm.Model(b"GGUF but not really")
    assert isinstance(caught.value, libllm.FormatError)
    with open(box, "rb") as file:
        data = bytearray(file.read())
    at = data.index(b"blk.0.attn_q.weight")
    data[at : at + 19] = b"blk.0.attn_Q.weight"
    with pytest.raises(libllm.LLMError) as caught:
        libllm.Model(data)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), copy.status, copy.message, copy.subject, copy.offset) == (
        type(caught.value),
        caught.value.status,
        caught.value.message,
        caught.value.subject,
        caught.value.offset,
    )
    with pytest.raises(MemoryError) as caught:
        libllm.Engine(memory_limit=3_000_000).load(box)
    assert isinstance(caught.value, libllm.OutOfMemoryError)
    with pytest.raises(libllm.NoDeviceError):
        libllm.Model(box, device=77)
    with pytest.raises(ValueError, match="cpu_tier"):
        libllm.Engine(cpu_tier="abacus")
    with pytest.raises(libllm.InvalidError):
        libllm.Engine(n_threads=-1)


def test_estimate_and_quantize(box, tmp_path, model):
    engine = libllm.Engine(n_threads=1)
    assert engine.estimate(box).total_bytes > model.info.weight_bytes
    with pytest.raises(libllm.UnsupportedError):  # it is quantized already
        engine.quantize(box, tmp_path / "small.gguf", "Q4_0")
    assert not (tmp_path / "small.gguf").exists()
    with pytest.raises(ValueError, match="file_type"):
        engine.quantize(box, tmp_path / "small.gguf", "Q1")
    seen, out = [], io.BytesIO()
    done = engine.quantize(box, out, "Q8_0", progress=seen.append)  # of the same type: copied
    assert done.n_tensors == len(model.tensors) and seen[-1] == 1.0
    assert story(libllm.Model(out.getvalue())) == story(model)

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        engine.quantize(box, Full(), "Q8_0")


def test_log():
    lines = []
    engine = libllm.Engine(gpus=True, log=lambda level, text: lines.append((level, text)), log_level=20)
    assert engine.devices
    assert all(level in (20, 30, 40) and text for level, text in lines)


def test_closing(box):
    with libllm.Engine(n_threads=1) as engine:
        model = engine.load(box)
    with pytest.raises(libllm.StateError, match="engine is closed"):
        engine.load(box)
    tokenizer = model.tokenizer
    session = model.session()
    session.append("Once upon")
    model.close()
    model.close()
    for use in (lambda: model.info, lambda: tokenizer.encode("a"), lambda: model.session()):
        with pytest.raises(libllm.StateError, match="closed"):
            use()
    reply = session.generate(max_tokens=50)
    assert next(reply)
    session.close()
    for use in (lambda: next(reply), lambda: session.append("a"), lambda: session.logits()):
        with pytest.raises(libllm.StateError, match="session is closed"):
            use()
    session.cancel()
    reply.close()


@pytest.mark.parametrize("order", list(itertools.permutations(range(5)))[::7])
def test_garbage_in_any_order(box, order):
    engine = libllm.Engine(n_threads=2)
    model = engine.load(box)
    tokenizer = model.tokenizer
    session = model.session()
    session.append("Once upon a time")
    sampler = libllm.Sampler(tokenizer, temperature=0.5)
    reply = session.generate(sampler=sampler, max_tokens=30)
    assert next(reply)
    refs = [weakref.ref(handle) for handle in (engine._handle, model._handle, session._handle, sampler._handle)]
    objects = [engine, model, tokenizer, (session, reply), sampler]
    del engine, model, tokenizer, session, sampler, reply
    for index in order:
        objects[index] = None
        gc.collect()
    assert [ref() for ref in refs] == [None] * 4


def test_garbage_in_a_callback(box):
    """What dies in a callback is freed after the call: the library allows next to nothing inside."""
    model = libllm.Model(box)
    doomed = [
        model.session(),
        model.generate("Once"),
        libllm.Model(box, engine=model.engine),
        libllm.Sampler(model, top_k=3),
    ]

    def on_logits(logits):
        doomed.clear()
        gc.collect()

    thread = threading.Thread(target=lambda: model.generate("Once", max_tokens=3, on_logits=on_logits).text())
    thread.start()
    thread.join(60)
    assert not thread.is_alive() and not doomed
    assert model.generate("Once", max_tokens=3, on_logits=on_logits).text()


def test_cycles(box):
    class Holder:
        pass

    holder = Holder()
    holder.me = holder
    holder.model = libllm.Model(box)
    holder.session = holder.model.session()
    ref = weakref.ref(holder.session._handle)
    del holder
    gc.collect()
    assert ref() is None
