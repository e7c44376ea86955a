# SPDX-License-Identifier: MIT
"""Sessions: text against the transcripts, numbers and their lifetime, samplers, hooks."""

import array
import asyncio
import gc
import json
import math
import os

import pytest

import libllm
from libllm import State, StateError


def transcripts(root):
    """(prompt, number of tokens or None, what the model says): made by PyTorch, see tools/box."""
    found = []
    with open(os.path.join(root, "tests", "golden", "box_transcripts.txt"), encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n").replace("\\n", "\n")
            if line.startswith("P "):
                prompt = line[2:]
            elif line.startswith("E "):
                found.append((prompt, None, line[2:]))
            elif line.startswith("C "):
                count, text = line[2:].split(" ", 1)
                found.append((prompt, int(count), text))
    return found


def test_transcripts(model, root):
    cases = transcripts(root)
    assert len(cases) >= 10
    for prompt, count, expected in cases:
        reply = model.generate(prompt, parse_special=True, max_tokens=count or 0)
        assert reply.text() == expected
        assert reply.end is (State.END_LENGTH if count else State.END_TOKEN)


def test_stepping(model):
    text = model.generate("Once upon a time", max_tokens=20).text()
    session = model.session()
    session.append("Once upon a time")
    assert session.state is State.WORKING and session.n_pending == session.n_tokens > 0
    session.begin(max_tokens=20)
    pieces = []
    while session.step(0.0005):
        pieces.append(session.read_text())
    pieces.append(session.read_text())
    assert "".join(pieces) == text
    assert session.state is State.END_LENGTH and session.info.n_generated == 20


def test_several_together(model):
    alone = [model.generate(text, max_tokens=15).text() for text in ("Once", "In a forest", "By a river")]
    sessions = [model.session() for _ in alone]
    for session, text in zip(sessions, ("Once", "In a forest", "By a river")):
        session.append(text)
        session.begin(max_tokens=15)
    while libllm.step(sessions):
        pass
    assert [session.read_text() for session in sessions] == alone


def test_put_in(model, session):
    tokens = model.tokenizer.encode("Once upon a time")
    session.append(tokens)
    assert session.run() is State.READY and session.tokens == tokens
    session.sync(tokens[:3] + tokens[:1])
    assert session.n_pending <= 2 and session.n_tokens == 4
    session.run()
    fork = session.fork()
    fork.append(" and")
    fork.run()
    assert session.n_tokens == 4 < fork.n_tokens
    parent = model.session()
    parent.append("Once upon a time")
    child = parent.fork()
    parent.close()
    assert child.generate(max_tokens=12).text() == model.generate("Once upon a time", max_tokens=12).text()
    session.rewind(2)
    assert session.tokens == tokens[:2]
    session.append(array.array("i", tokens))
    session.rewind(0)
    assert session.tokens == []
    with pytest.raises(libllm.StateError):
        session.begin()
    with pytest.raises(ValueError):
        session.rewind(-1)
    with pytest.raises(libllm.InvalidError):
        session.append([1 << 20])


def test_full_context(model):
    session = model.session(n_ctx=16)
    with pytest.raises(libllm.ContextFullError):
        session.append("word " * 100)
    assert session.n_tokens == 0
    assert session.generate("Once upon", ignore_end=True).text()
    assert session.state is State.END_CONTEXT and session.n_tokens == 16


def test_sliding(model):
    session = model.session(n_ctx=32, when_full="slide", n_keep=4)
    session.append("Once upon a time")
    kept = session.tokens[:4]
    assert session.generate(max_tokens=100, ignore_end=True).text() and session.state is State.END_LENGTH
    assert session.info.n_slid > 0 and session.tokens[:4] == kept
    with pytest.raises(ValueError, match="when_full"):
        model.session(when_full="explode")


def test_parking(model):
    session = model.session()
    text = model.generate("Once upon a time", max_tokens=12).text()
    session.append("Once upon a time")
    session.run()
    logits = session.logits()
    with pytest.raises(BufferError):
        session.park()
    assert model.engine.trim() >= 0
    assert logits.tolist() == session.logits(copy=True).tolist()  # not trimmed away
    del logits
    before = session.info.state_bytes
    session.park()
    assert session.info.state_bytes < before and session.n_pending == session.n_tokens
    assert session.generate(max_tokens=12).text() == text


def test_state_types(model):
    for kind in ("f16", "f32", "int8"):
        with model.session(state_type=kind, n_ctx=64, reserve=True) as session:
            assert session.generate("Once upon a time", max_tokens=8).text() and session.info.state_type == kind
    with pytest.raises(ValueError, match="state_type"):
        model.session(state_type="f64")


def test_sampler(model):
    def text(**options):
        return model.generate("Once upon a time", max_tokens=25, **options).text()

    hot = dict(temperature=1.5, top_k=50)
    assert text(seed=1, **hot) == text(seed=1, sampler=libllm.Sampler(model, **hot)) != text(seed=2, **hot)
    assert text(temperature=0.0) == text() == text(top_k=1, temperature=2.0)
    first = model.tokenizer.encode(text(), continues=True)[0]
    session = model.session()
    session.append("Once upon a time")
    session.run()
    best = session.best(2)
    assert best[0][0] == first
    banned = session.generate(max_tokens=1, biases={best[0][0]: -math.inf})
    banned.text()
    assert session.tokens[-1] == best[1][0]
    assert text(
        dry_multiplier=0.8,
        dry_breakers=["\n", "."],
        repeat_penalty=1.2,
        temperature=0.7,
        order=["dry", "top_k", "temperature"],
    )
    with pytest.raises(libllm.InvalidError, match="top_p"):
        libllm.Sampler(model, temperature=1.0, top_p=-2.0)
    with pytest.raises(TypeError, match="no 'heat'"):
        libllm.Sampler(model, heat=1.0)
    with pytest.raises(ValueError, match="order"):
        libllm.Sampler(model, order=["magic"])
    with pytest.raises(TypeError, match="'heat'"):
        text(heat=1.0)
    with pytest.raises(TypeError, match="recipe"):
        text(top_k=3, sampler=libllm.Sampler(model))


def test_stops(model):
    whole = model.generate("Once upon a time", max_tokens=60).text()
    reply = model.generate("Once upon a time", max_tokens=60, stop=["nothing like it", "."])
    assert reply.text() == whole[: whole.index(".")] and reply.end is State.END_STOP
    assert model.generate("Once upon a time", max_tokens=60, stop=".").text() == whole[: whole.index(".")]
    session = model.session()
    session.generate("Once upon a time", max_tokens=60).text()
    third = session.tokens[-58]
    reply = model.generate("Once upon a time", max_tokens=60, stop_tokens=[third])
    assert whole.startswith(reply.text()) and reply.end is State.END_STOP


def test_logits_are_borrowed(model, session):
    session.append("Once upon a time")
    with pytest.raises(libllm.StateError):
        session.logits()
    session.run()
    logits = session.logits()
    numpy = pytest.importorskip("numpy")
    assert isinstance(logits, numpy.ndarray) and logits.shape == (2048,) and logits.dtype == numpy.float32
    again = session.logits()
    assert again.ctypes.data == logits.ctypes.data  # no copy
    with pytest.raises(ValueError):
        logits[0] = 1
    best = session.best(5)
    assert [token for token, _ in best] == list(numpy.argsort(-logits, kind="stable")[:5])
    norm = numpy.log(numpy.exp(logits.astype(numpy.float64) - logits.max()).sum()) + logits.max()
    numpy.testing.assert_allclose([p for _, p in best], logits[[t for t, _ in best]] - norm, atol=1e-4)
    del again
    part = logits[5:10]
    kept = session.logits(copy=True)
    del logits
    for change in (
        lambda: session.append("x"),
        lambda: session.rewind(1),
        lambda: session.sync([1]),
        lambda: session.begin(),
        lambda: session.step(),
        lambda: session.generate("x"),
        lambda: libllm.step([session]),
    ):
        with pytest.raises(BufferError, match="copy=True"):
            change()
    assert session.fork().n_tokens == session.n_tokens  # no change
    before = part.tolist()
    del part
    session.append(" there")
    session.run()
    assert kept[5:10].tolist() == before
    reply = session.generate(max_tokens=3)
    first = next(reply)
    scores = session.scores()
    with pytest.raises(BufferError):
        next(reply)  # changes nothing: the reply goes on
    del scores
    assert reply.end is None and first + reply.text() and reply.end is State.END_LENGTH
    session.run()
    last = session.logits()
    expected = last.tolist()
    session.close()
    del session
    gc.collect()
    assert last.tolist() == expected  # the memory lives as long as the array


def test_scores(model, session):
    assert len(session.scores()) == len(session.scores(copy=True)) == 0
    numpy = pytest.importorskip("numpy")
    seen = []
    session.watch_scores(lambda position, logits: seen.append((position, int(logits.argmax()), logits.copy())))
    session.append("Once upon a time", score=True)
    session.run()
    scores = session.scores(copy=True)
    tokens = session.tokens
    assert len(scores) == len(tokens) and math.isnan(scores[0]) and (scores[1:] < 0).all()
    assert [position for position, _, _ in seen] == list(range(1, len(tokens)))
    for position, _, logits in seen:
        wide = logits.astype(numpy.float64)
        expected = wide[tokens[position]] - numpy.log(numpy.exp(wide - wide.max()).sum()) - wide.max()
        assert abs(scores[position] - expected) < 1e-4
    session.watch_scores(None)
    session.generate(max_tokens=5, score=True).text()
    assert len(seen) == len(tokens) - 1
    session.run()
    assert not numpy.isnan(session.scores(copy=True)[len(tokens) : -1]).any()


def test_on_logits(model):
    forced = model.tokenizer.encode(" green", continues=True)[0]
    kept = []

    def only(logits):
        for token in range(len(logits)):
            logits[token] = -100.0
        logits[forced] = 0.0
        kept.append(logits)

    session = model.session()
    session.generate("Once", max_tokens=3, on_logits=only).text()
    assert session.tokens[-3:] == [forced] * 3
    assert kept[0][forced] == 0.0  # ours, so keeping it does no harm

    class Enough(Exception):
        pass

    def refuse(logits):
        raise Enough

    reply = session.generate(" and", max_tokens=30, on_logits=refuse)
    with pytest.raises(Enough):
        reply.text()
    assert session.generate(" then", max_tokens=3).text()  # usable
    session.append(" x")
    session.begin(on_logits=refuse, max_tokens=3)
    with pytest.raises(Enough):
        session.run()

    def meddle(logits):
        session.append("from inside")

    with pytest.raises(libllm.BusyError):
        session.generate(" so", max_tokens=3, on_logits=meddle).text()


def test_replies(model, session):
    reply = session.generate("Once upon a time", max_tokens=40)
    whole = model.generate("Once upon a time", max_tokens=40).text()
    first = next(reply)
    for piece in reply:
        first += piece
        break
    assert whole.startswith(first) and reply.end is None
    assert first + reply.text() == whole and reply.end is State.END_LENGTH
    assert list(reply) == []
    with session.generate(" and", max_tokens=40) as reply:
        assert next(reply)
    assert reply.end is State.END_CANCELLED and session.state is State.END_CANCELLED
    old = session.generate(" and", max_tokens=40)
    session.append(" but")
    with pytest.raises(libllm.StateError, match="went on without"):
        next(old)
    assert session.generate(max_tokens=3).text()
    assert session.generate(b" bytes", max_tokens=3).text()


def test_chat(model):
    chat = libllm.Chat(model)
    assert chat.info.origin in ("model", "builtin") and len(chat) == 0
    chat.add("user", "What is 17 + 25?")
    assert chat.render() == "<|im_start|>user\nWhat is 17 + 25?<|im_end|>\n<|im_start|>assistant\n"
    assert chat.encode() == model.tokenizer.encode(chat.render(), parse_special=True)
    session = model.session()
    session.sync_chat(chat)
    assert session.generate(max_tokens=30).text() == "17 plus 25 is 42."
    chat.add_message({"role": "assistant", "content": "17 plus 25 is 42."})
    chat.add("user", "<|im_end|> is no token here")
    end = model.tokenizer.encode("<|im_end|>", parse_special=True)[0]
    assert chat.encode().count(end) == 3 == chat.render().count("<|im_end|>") - 1
    session.sync_chat(chat)
    assert session.n_pending < session.n_tokens
    chat.rewind(1)
    assert len(chat) == 1
    events = list(chat.answer(session, max_tokens=30))
    assert {event.kind for event in events} == {"text"} and "".join(
        event.text for event in events
    ) == "17 plus 25 is 42."
    assert len(chat) == 2 and "17 plus 25 is 42." in chat.render()
    chat.rewind(1)
    event = next(chat.answer(session, max_tokens=30))
    assert len(chat) == 1 and session.state is State.END_CANCELLED  # left early: as it was
    chat.add_reply()
    assert len(chat) == 2 and "17 plus 25 is 42.".startswith(event.text)
    chat.rewind(1)

    async def ask():
        return "".join([event.text async for event in chat.aanswer(session, max_tokens=30)])

    assert asyncio.run(ask()) == "17 plus 25 is 42." and len(chat) == 2
    chat.rewind(1)
    with pytest.raises(libllm.InvalidError):
        chat.rewind(5)
    with pytest.raises(libllm.FormatError):
        chat.add_message({"content": "no role"})
    with pytest.raises(libllm.LLMError) as caught:
        libllm.Chat(model, template="{% if %}")
    assert "1" in str(caught.value)
    with pytest.raises(libllm.NotFoundError):
        libllm.Chat(model, template_name="nothing")
    own = libllm.Chat(
        model,
        template="{{ word }}: {{ messages[0].content }} {{ strftime_now('%Y') }}",
        variables={"word": "Say"},
        date="2026-11-22",
    )
    own.add("user", "héllo")
    assert own.render() == "Say: héllo 2026"


def test_a_reply_goes_on(model, tmp_path):
    with model.session() as one, model.session() as two:
        one.append("Once upon a time")
        whole = "".join(one.generate(max_tokens=24, seed=7, temperature=0.8))
        two.append("Once upon a time")
        begun = "".join(two.generate(max_tokens=9, seed=7, temperature=0.8))
        two.save(tmp_path / "half.llm")
        with model.session() as three:
            three.restore(tmp_path / "half.llm")
            for session in (two, three):
                assert begun + "".join(session.generate(continue_=True, max_tokens=24, seed=7, temperature=0.8)) == whole
        with pytest.raises(libllm.InvalidError):
            two.begin(continue_=True, max_tokens=24)


def test_saved(model, session, tmp_path):
    path = tmp_path / "story.llm"
    session.append("Once upon a time", score=True)
    session.run()
    session.save(path, note=b"a note")
    expected = [float(x) for x in session.logits(copy=True)]
    info = model.saved(path)
    assert (info.n_tokens, info.note) == (session.n_tokens, b"a note")
    assert info.same_model and info.same_vocabulary and info.state

    for source in (str(path), path.read_bytes(), path.open("rb")):
        with model.session() as other:
            other.append("something else")
            other.restore(source)
            assert other.tokens == session.tokens and other.n_pending == 0
            assert [float(x) for x in other.logits(copy=True)] == expected

    with open(tmp_path / "small.llm", "wb") as file:
        session.save(file, state=False)
    with model.session() as other:
        with pytest.raises(libllm.UnsupportedError):
            other.restore(tmp_path / "small.llm", need_state=True)
        assert other.n_tokens == 0
        other.restore(tmp_path / "small.llm")
        assert other.n_pending == other.n_tokens == session.n_tokens
        other.run()
        assert [float(x) for x in other.logits(copy=True)] == expected
        tokens = other.tokens
        with pytest.raises(libllm.FormatError):
            other.restore(path.read_bytes()[:-1])
        with pytest.raises(libllm.NotFoundError):
            other.restore(tmp_path / "none.llm")
        borrowed = other.logits()
        with pytest.raises(BufferError):
            other.restore(path)
        del borrowed
        assert other.tokens == tokens
    with pytest.raises(libllm.NotFoundError):
        session.save(tmp_path / "no folder" / "x.llm")

    class Full:
        def write(self, data):
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        session.save(Full())


def test_grammar(model):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "ok": {"type": "boolean"}},
        "required": ["n", "ok"],
        "additionalProperties": False,
    }
    with libllm.Grammar(model, json_schema=schema, compact=True) as grammar:
        for seed in range(5):
            reply = model.generate("Once", grammar=grammar, temperature=2.0, seed=seed, max_tokens=100)
            said = json.loads(reply.text())
            assert isinstance(said["n"], int) and isinstance(said["ok"], bool)
            assert reply.end in (State.END_GRAMMAR, State.END_TOKEN)
    sampler = libllm.Sampler(model, grammar=libllm.Grammar(model.tokenizer, regex="(yes|no)"), temperature=1.0)
    assert model.generate("Is it so?", sampler=sampler).text() in ("yes", "no")
    assert model.generate("A", grammar=libllm.Grammar(model, gbnf='root ::= "b" "c"')).text() == "bc"
    with pytest.raises(libllm.UnsupportedError, match="uniqueItems"):
        libllm.Grammar(model, json_schema={"type": "array", "uniqueItems": True})
    with pytest.raises(libllm.FormatError):
        libllm.Grammar(model, regex="(")
    with pytest.raises(TypeError):
        libllm.Grammar(model)
    with pytest.raises(StateError):
        model.generate("A", grammar=grammar)
