#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_editor.py LLM_COMPLETE LIBLLM MODEL: the editor example, first the program alone, line by line, then in a real Vim, where there is
one. MODEL: the one in the box. Figures are printed, and none of them decides."""
import json
import os
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fim import with_fim
from vim import Vim

program, libllm, box = sys.argv[1:4]
STORY = "Once upon a time, in a forest, lived a fox called"
failures = 0


def check(good, what):
    global failures
    if not good:
        failures += 1
        print(f"FAILED: {what}", file=sys.stderr)


class Completer:
    def __init__(self, model=box, *options):
        self.process = subprocess.Popen([program, *options, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self.hear()

    def say(self, **message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        assert line, "the program ended"
        return json.loads(line)

    def answer(self, id):
        """Text, last word, and the prompt if it was asked for."""
        text, prompt = "", None
        while True:
            said = self.hear()
            assert said.get("id") == id, said
            text += said.get("text", "")
            if "prompt_tokens" in said:
                prompt = said
            if "end" in said or "error" in said:
                return text, said, prompt

    def complete(self, id, prefix, **more):
        self.say(id=id, prefix=prefix, **more)
        return self.answer(id)

    def close(self):
        self.process.stdin.close()
        check(self.process.wait(30) == 0, "the end of the input ends the program well")


def by_command(prompt, n):
    """What libllm run makes of it: another way through the library (text put in, nothing taken back)."""
    out = subprocess.run([libllm, "run", "-m", box, "--temp", "0", "-n", str(n), "-p", prompt], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         check=True).stdout.decode()
    return out.rstrip("\n")


def answers():
    c = Completer()
    check(c.first == {"ready": True, "model": "Box", "fim": False}, f"what is told of the model: {c.first}")
    text, end, _ = c.complete(1, STORY, max_tokens=40)
    check(end["end"] == "length" and end["tokens"] == 40 and end["new"] == end["prompt"], f"40 tokens: {end}")
    plain = by_command(STORY, 60)
    check(len(text) > 40 and plain.startswith(STORY + text), f"the command tells the same: {text!r}, {plain!r}")
    half, _, _ = c.complete(2, STORY[:-len("x called")], max_tokens=40)
    check(half.startswith("x called"), f"a word that was cut is completed: {half[:30]!r}")
    space, _, _ = c.complete(3, STORY + " ", max_tokens=40)
    check(space[:1].isalpha() and plain.startswith(STORY + " " + space), f"a space before the cursor is not said twice: {space[:30]!r}")

    # Typing on.
    at, new, total = STORY, [], []
    for i, word in enumerate("Klima and he was a very good friend of all".split()):
        at += " " + word
        end = c.complete(10 + i, at, max_tokens=4)[1]
        new.append(end["new"])
        total.append(end["prompt"])
    print(f"typing on, word by word: prompts of {total} tokens, of which new were {new}")
    check(max(new) <= 5 and min(total) > 8, "typing on costs what is new")
    check(c.complete(30, at, max_tokens=4)[1]["new"] <= 1, "the same once more costs next to nothing")

    # A text longer than the context: 512 tokens here.
    long, ends = "The fox saw a crow. " * 400, []
    for i in range(20):
        long += " x"
        text, end, _ = c.complete(100 + i, long, max_tokens=8)
        ends.append(end)
    print(f"at a full context: prompts of {[e['prompt'] for e in ends]}, new {[e['new'] for e in ends]}")
    check(all("end" in e and e["prompt"] <= 512 - 8 for e in ends), "a long text is cut in front")
    check(sorted(e["new"] for e in ends)[-3] <= 3, "and not anew with each key")

    # What is no request.
    for line in ("", "x", "{", "[]", '{"id": 5}', '{"id": 5, "prefix": 3}', '"prefix"', "[" * 3000):
        c.process.stdin.write(line + "\n")
        c.process.stdin.flush()
        check("error" in c.hear(), f"{line[:20]!r} is refused")
    check(c.complete(6, "", max_tokens=3)[1]["end"] == "token", "nothing typed, nothing said")
    check(c.complete(7, STORY, max_tokens=-3)[1]["end"] in ("length", "line"), "a foolish max_tokens is none")
    check(c.complete(8, "<|im_end|>", show_prompt=True, max_tokens=1)[2]["prompt_tokens"] != [2], "text is no control token")
    c.close()

    bad = subprocess.run([program, os.devnull], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    check(bad.returncode == 1 and "error" in json.loads(bad.stdout), "a file that is no model is told of")


def cancelling():
    c = Completer()
    alone = c.complete(1, STORY, one_line=False, max_tokens=200)[0]

    took, n_cancelled = [], 0                                       # whoever stops this test for a moment sees answers come to their own ends
    for i in range(2, 32):                                          # a cancel, early and late, also while the prompt is taken in
        c.complete(1000 + i, "Other words.", max_tokens=1)          # so that there is a prompt to take in
        c.say(id=i, prefix="The crow was clever. " * (1 + i), one_line=False, max_tokens=200)
        if i % 2 and "end" in c.hear():
            continue
        time.sleep(0.0005 * (i % 8))
        started = time.monotonic()
        c.say(cancel=True)
        while "end" not in (said := c.hear()):
            pass
        took.append((time.monotonic() - started) * 1000)
        check(said["id"] == i and said["end"] in ("cancelled", "token", "length"), f"the last word on {i}: {said}")
        n_cancelled += said["end"] == "cancelled"
    print(f"from cancel to the last word, there and back: median {statistics.median(took):.2f} ms, longest {max(took):.2f} ms")

    check(n_cancelled > 10, f"cancelled: {n_cancelled} of 30")

    for i in range(50, 60, 2):                                      # another request in place of a cancel
        c.say(id=i, prefix=STORY, one_line=False, max_tokens=200)
        c.hear()
        c.say(id=i + 1, prefix=STORY, one_line=False, max_tokens=200)
        while "end" not in (said := c.hear()):
            check(said["id"] == i, "first the last of the old one")
        check(c.answer(i + 1)[0] == alone, "a cancelled request leaves no trace in the next")
        if said["end"] == "cancelled":
            break
    check(said["end"] == "cancelled", f"the old one ends: {said}")

    for i in range(100, 150):                                       # a hasty typist
        c.say(id=i, prefix=STORY + " Klima"[:i % 7], one_line=False, max_tokens=200)
    c.say(id=150, prefix=STORY, one_line=False, max_tokens=200)
    ends, text = {}, ""
    while 150 not in ends:
        said = c.hear()
        if "end" in said:
            check(said["id"] not in ends, f"one last word each: {said}")
            ends[said["id"]] = said["end"]
        elif said["id"] == 150:
            text += said["text"]
    check(sorted(ends) == list(range(100, 151)), "each request has a last word")
    check(list(ends.values()).count("cancelled") > 30 and text == alone, f"and only the newest an answer: {ends}")
    c.say(cancel=True)
    c.close()

    c = Completer()                                                 # the input ends in the middle of an answer
    c.say(id=1, prefix=STORY, one_line=False, max_tokens=200)
    c.hear()
    c.close()


def filling(folder):
    ways = {"names": (), "keys": ("fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id"), "older keys": ("prefix_token_id", "suffix_token_id", "middle_token_id")}
    for way, keys in ways.items():
        model = os.path.join(folder, "fim.gguf")
        pre, suf, mid = with_fim(box, model, keys)
        c = Completer(model)
        check(c.first["fim"] is True, f"by {way}: it can fill in")

        def prompt(id, **request):
            return c.complete(id, show_prompt=True, max_tokens=2, **request)[2]["prompt_tokens"]

        before = prompt(1, prefix="A fox called", suffix="\n")      # nothing but white space: plain, and the last token is taken back
        check(not {pre, suf, mid} & set(before), f"by {way}: nothing to fill in without a suffix: {before}")
        after = prompt(2, prefix=" was clever and", suffix="")
        both = prompt(3, prefix="A fox called", suffix=" was clever and kind")
        check(both[0] == pre and both[-1] == mid and both.count(suf) == 1, f"by {way}: prefix, suffix, middle: {both}")
        check(both[1:both.index(suf)][:-1] == before and both[both.index(suf) + 1:-1][:len(after)] == after, f"by {way}: with the text between them: {both}")
        long = prompt(4, prefix="one two three " * 400, suffix="four five six " * 400)
        at = long.index(suf)
        check(len(long) <= 512 - 2 and long[0] == pre and long[-1] == mid and at > len(long) / 2, f"by {way}: both cut to the context: {len(long)}, {at}")
        c.close()

    model = os.path.join(folder, "lines.gguf")                      # ends lines where it meant the ends of sentences
    with_fim(box, model, swap=(".", "\u010a"))
    c = Completer(model)
    many = c.complete(1, STORY, one_line=False)[0]
    one, end, _ = c.complete(2, STORY)
    check(many.count("\n") > 1 and end["end"] == "line" and one and many.startswith(one + "\n"), f"to the line's end: {one!r} of {many!r}, {end}")
    c.close()
    return model


def in_vim(folder, lines_model):
    if not shutil.which("vim") or subprocess.run(["vim", "-u", "NONE", "-es", "-c", "if !has('patch-9.0.185') | cquit | endif", "-c", "qall"],
                                                 stdin=subprocess.DEVNULL).returncode:
        print("there is no Vim 9.0.185 or later here: the plugin is not tried")
        return
    record = os.path.join(folder, "record")                         # the program, and what Vim says to it
    recorder = os.path.join(folder, "recorder")
    with open(recorder, "w") as file:
        file.write(f'#!/bin/sh\ntee -a "{record}" | "{program}" "$@"\n')
    os.chmod(recorder, os.stat(recorder).st_mode | stat.S_IXUSR)
    story = os.path.join(folder, "story.txt")
    settings = {"llm_complete_program": recorder, "llm_complete_model": box, "llm_complete_tokens": 40, "llm_complete_pause": 100}
    expected = by_command(STORY, 40)[len(STORY):][:20]

    def write(text):
        with open(story, "w") as file:
            file.write(text)

    def said():
        with open(record) as file:
            return [json.loads(line) for line in file]

    info = "LlmCompleteInfo()"
    write("\nAnd they all were friends.\n")
    v = Vim(folder, story, settings)
    v.keys(":LlmComplete on\r")
    check(v.until(f"!empty({info}.ready)"), "the program runs")
    v.keys("i" + STORY)
    v.until(f"{info}.number > 0 && !{info}.busy")
    ghost = v.ask(f"{info}.ghost")
    check(ghost.startswith(expected), f"the ghost is what the command tells: {ghost!r}, {expected!r}")
    check(v.ask("prop_list(1)") != [] and v.ask("getline(1)") == STORY, "and no part of the text")
    words = [word for word in ghost.split() if len(word) > 4]       # some of them are one token, and so not cut by the terminal's codes
    check(any(v.shows(word, 2) for word in words), "it stands on the screen")
    request = said()[-1]
    check(request["prefix"] == STORY and request["suffix"] == "\nAnd they all were friends.", f"prefix and suffix are sent: {request}")
    v.keys("\t")
    check(v.until(f"getline(1) ==# {json.dumps(STORY + ghost)}"), "Tab takes it")
    check(v.ask(f"col('.') == {len(STORY + ghost) + 1} && mode() ==# 'i'"), "and the cursor stands behind it, still inserting")

    number = v.until(f"{info}.ghost != '' ? {info}.number : 0")     # the next one, from there; and typing
    v.keys("q")
    check(v.until("getline(1)[-1 : ] ==# 'q'"), "a key is typed")
    check(v.ask(f"{info}.ghost ==# '' || {info}.number > {number}"), "and the ghost has gone")
    v.until(f"{info}.number > {number} && !{info}.busy")

    took, ended = [], 0                                             # keys in the middle of an answer
    v.ask("execute('let g:llm_complete_tokens = 400')")
    v.keys("\x1bggcc" + STORY)
    for _ in range(10):
        number = v.ask(f"{info}.number")
        v.keys(" T")
        if not v.until(f"{info}.number > {number} && ({info}.ghost != '' || !{info}.busy)"):
            check(False, "an answer begins")
            break
        number = v.ask(f"{info}.number")
        started = time.monotonic()
        v.keys("\x08\x08")
        while v.ask(f"{info}.ghost") != "" and time.monotonic() < started + 20:
            pass
        if v.until(f"{info}.last.id >= {number}"):
            took.append((time.monotonic() - started) * 1000)
        ended += v.ask(f"{info}.last.end ==# 'cancelled'")
    print(f"from the key to the last word on the request, seen from outside Vim: median {statistics.median(took):.1f} ms, longest {max(took):.1f} ms; "
          f"{ended} of {len(took)} were still in progress")
    check(ended > 0 and {"cancel": True} in said(), "typing cancels")

    v.keys("\x1bgg0i")                                              # within a line a model that cannot fill in is not asked
    number = v.ask(f"{info}.number")
    v.keys("z")
    v.until("getline(1)[0] ==# 'z'")
    time.sleep(0.5)
    check(v.ask(f"{info}.number") == number, "not asked within a line")
    v.keys("\x1b:LlmComplete off\r")
    check(v.until(f"!{info}.on") == 1, "off")
    v.keys("o\tx\x1b")
    check(v.until("getline(2) ==# \"\\tx\""), "and Tab is a Tab again")
    check(v.ask("v:errmsg") == "", f"no error: {v.ask('v:errmsg')!r}")
    v.close()

    fim = os.path.join(folder, "fim.gguf")                          # one that can fill in, in the middle of a line
    with_fim(box, fim)
    write("A fox called  was clever.\n")
    v = Vim(folder, story, dict(settings, llm_complete_model=fim, llm_complete_auto=1))
    v.until(f"!empty({info}.ready)")
    v.keys("13|i")
    check(v.until(f"{info}.number > 0 && !{info}.busy"), "it is asked within a line")
    request = said()[-1]
    check(request["prefix"] == "A fox called" and request["suffix"] == "  was clever.", f"with both sides: {request}")
    v.close()

    write("")                                                       # several lines
    v = Vim(folder, story, dict(settings, llm_complete_model=lines_model, llm_complete_lines=0, llm_complete_auto=1))
    v.until(f"!empty({info}.ready)")
    v.keys("i" + STORY)
    v.until(f"{info}.number > 0 && !{info}.busy")
    ghost = v.ask(f"{info}.ghost")
    check("\n" in ghost, f"several lines: {ghost!r}")
    v.keys("\t")
    check(v.until(f"line('$') == {ghost.count(chr(10)) + 1}") and "\n".join(v.ask("getline(1, '$')")) == STORY + ghost, "Tab takes them all")
    check(v.ask("v:errmsg") == "", f"no error: {v.ask('v:errmsg')!r}")
    v.close()

    v = Vim(folder, story, {"llm_complete_program": "no_such_program"})     # what hinders it is told
    v.keys(":LlmComplete on\r")
    check(v.until("execute('messages') =~# 'there is no program \"no_such_program\"'"), "a missing program is told of")
    check(v.ask(f"{info}.on") in (0, False), "and nothing runs")
    v.close()
    v = Vim(folder, story, {"llm_complete_program": program, "llm_complete_model": "no_such_model"})
    v.keys(":LlmComplete on\r")
    check(v.until("execute('messages') =~# 'llm_complete: .*no_such_model'"), "a missing model is told of")
    v.close()


with tempfile.TemporaryDirectory() as folder:
    answers()
    cancelling()
    in_vim(folder, filling(folder))
sys.exit(f"{failures} checks failed" if failures else 0)
