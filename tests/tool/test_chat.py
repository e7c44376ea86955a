#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_chat.py LIBLLM: libllm chat on a terminal of its own: line editing, history, Ctrl-C in a reply and at the prompt, commands, a full
context, the end."""
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

libllm = sys.argv[1]
failures = 0


def check(good, what):
    global failures
    if not good:
        failures += 1
        print(f"FAILED: {what}", file=sys.stderr)


class Terminal:
    """A program on a terminal; all that it writes stands in `seen`."""

    def __init__(self, *arguments):
        leader, follower = pty.openpty()
        environment = dict(os.environ, TERM="xterm", LC_ALL="C")    # whose characters are no UTF-8: the command sees to that
        self.program = subprocess.Popen([libllm, *arguments], stdin=follower, stdout=follower, stderr=follower, close_fds=True, env=environment,
                                        preexec_fn=self.lead)
        os.close(follower)
        self.leader, self.seen = leader, ""
        self.expect("> ")

    @staticmethod
    def lead():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def expect(self, words, seconds=120):
        """Reads until `words` were written after the last send. Returns what was."""
        end = time.monotonic() + seconds
        while words not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.leader], [], [], left)[0]:
                check(False, f"{words!r} did not come within {seconds} s; there is {self.seen[-300:]!r}")
                break
            try:
                got = os.read(self.leader, 65536).decode("utf-8", "replace")
            except OSError:                                         # the program has ended
                got = ""
            if not got:
                check(False, f"{words!r} did not come before the end; there is {self.seen[-300:]!r}")
                break
            self.seen += got
        return self.seen

    def send(self, keys):
        """Types, as people do, when the line editor has taken the terminal over: a moment after its prompt."""
        end = time.monotonic() + 120
        while termios.tcgetattr(self.leader)[3] & termios.ICANON and time.monotonic() < end:
            time.sleep(0.002)
        self.seen = ""
        os.write(self.leader, keys.encode())

    def ask(self, line):
        """Sends a line; returns what was written up to the next prompt."""
        self.send(line + "\r")
        self.expect("\n> ")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)

    def end(self):
        self.send("\x04")
        code = self.program.wait(120)
        os.close(self.leader)
        return code


t = Terminal("chat", "--device", "cpu", "--temp", "0")
check("42" in t.ask("What is 17 + 25?"), "17 + 25")
check("42" in t.ask("\x1b[A"), "arrow up brings the last line again")
check("42" in t.ask("What is 17 + 5?\x1b[D\x1b[D2"), "arrow left goes into the line")
check("2 messages" in t.ask("/reset") + t.ask("/again") + t.ask("What is 17 + 25?") + t.ask("/stats"), "/reset, /again and /stats")
check("Klimá." in t.ask("Hello! My name is Klimá."), "letters beyond ASCII")
t.send("half a line")
t.expect("half a line")
t.send("\x03")                                                      # takes the line back
t.expect("> ")
check("42" in t.ask("What is 17 + 25?"), "Ctrl-C takes a line back")
t.send("What is 17 + \\\r")
t.expect("\n. ")
check("42" in t.ask("25?"), "a line that goes on")
check("There is no /wings" in t.ask("/wings"), "an unknown command")
check("brief" in t.ask("/system Be brief.") + t.ask("/system"), "/system")
with tempfile.TemporaryDirectory() as folder:
    talk = os.path.join(folder, "talk.llm")
    before = t.ask("/again")
    check("messages and" in t.ask(f"/save {talk}"), "/save")
    check("0 of 0 messages" in t.ask("/reset") + t.ask("/stats"), "/reset")
    check("17 plus 25 is 42" in t.ask(f"/load {talk}"), "/load shows the last exchange")
    check(t.ask("/again").strip().splitlines()[1:] == before.strip().splitlines()[1:], "/load, then /again")
    check("brief" in t.ask("/system"), "/load brings the system message")
    check("Which file" in t.ask("/load") and "cannot load" in t.ask(f"/load {talk}.none"), "/load of nothing")
    for cut in (b"", b"GGUF" * 100, open(talk, "rb").read()[:-9]):
        with open(talk + ".bad", "wb") as file:
            file.write(cut)
        check("cannot load" in t.ask(f"/load {talk}.bad"), "/load of a damaged file")
    check("42" in t.ask("What is 17 + 25?"), "the conversation goes on after a file that could not be loaded")
for i in range(4):
    said = t.ask("Tell me a story about a fox.")
    if "no longer sees" in said:
        break
check("no longer sees" in said, f"a full context is told in words: {said}")
check(t.end() == 0, "Ctrl-D ends")

# A model of random weights says nonsense until it is stopped.
t = Terminal("chat", "--shape", "tiny", "--device", "cpu", "-c", "32768", "--seed", "1")
waits, n = [], 0
while len(waits) < 5 and n < 20:
    n += 1
    t.send("Go on.\r")
    while len(t.seen) < 400 and t.program.poll() is None:
        if not select.select([t.leader], [], [], 60)[0]:
            break
        t.seen += os.read(t.leader, 65536).decode("utf-8", "replace")
    t.seen = ""
    begin = time.monotonic()
    os.write(t.leader, b"\x03")
    t.expect("\n> ")
    if "(stopped)" in t.seen:                                       # else it had come to its end a moment before
        waits.append(1000 * (time.monotonic() - begin))
check(len(waits) == 5, "Ctrl-C stops a reply")
print(f"from Ctrl-C to the prompt: {', '.join(f'{w:.1f}' for w in waits)} ms")
check(f"{2 * n} of {2 * n} messages" in t.ask("/stats"), "what was said before Ctrl-C is kept")
t.program.send_signal(signal.SIGTERM)                               # as any program
check(t.program.wait(120) == -signal.SIGTERM, "SIGTERM")
os.close(t.leader)

# Without a terminal: replies on standard output and nothing else.
done = subprocess.run([libllm, "chat", "-q", "--device", "cpu", "--temp", "0"], input="What is 17 + 25?\n/again\n", capture_output=True, text=True)
check(done.returncode == 0 and done.stdout.count("42") == 2 and done.stdout.count("\n") == 2 and done.stderr == "", f"a pipe: {done}")
done = subprocess.run([libllm, "chat", "-q", "--device", "cpu", "-c", "32", "-p", "word " * 100], capture_output=True, text=True)
check(done.returncode == 1 and "too long" in done.stderr and done.stdout == "", f"a message longer than the context: {done}")
sys.exit(1 if failures else 0)
