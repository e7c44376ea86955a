# SPDX-License-Identifier: MIT
"""A real Vim with the plugin, in a terminal of its own, that a program types into and asks: keys go through the terminal, questions
through a channel that Vim opens to us (:help channel-commands). For test_editor.py and picture.py."""
import fcntl
import json
import os
import pathlib
import pty
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

PLUGIN = pathlib.Path(__file__).resolve().parents[2] / "examples" / "editor"


class Vim:
    def __init__(self, folder, file, settings=(), terminal=None, rows=24, columns=100):
        """terminal: a command that runs what follows in a window, or None: a pseudo-terminal, whose output stands in `seen`."""
        address = os.path.join(folder, "vim.socket")
        if os.path.exists(address):
            os.unlink(address)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen(1)
        listener.settimeout(60)
        commands = [f"set nocompatible nomore shortmess+=I runtimepath^={PLUGIN} viminfo= noswapfile"]
        commands += [f"let g:{name} = {json.dumps(value)}" for name, value in dict(settings).items()]
        vim = ["vim", "-u", "NONE", "-i", "NONE", "-N"]
        for command in commands:
            vim += ["--cmd", command]
        vim += ["-c", "runtime plugin/llm_complete.vim", "-c", f"let g:test = ch_open('unix:{address}')", file]
        environment = dict(os.environ, TERM="xterm-256color", LC_ALL="C.UTF-8")
        self.leader, self.seen = None, ""
        if terminal:
            self.program = subprocess.Popen([*terminal, *vim], env=environment, start_new_session=True)
        else:
            self.leader, follower = pty.openpty()
            fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            self.program = subprocess.Popen(vim, stdin=follower, stdout=follower, stderr=follower, env=environment, preexec_fn=self.lead)
            os.close(follower)
            threading.Thread(target=self.read, daemon=True).start()
        self.socket, _ = listener.accept()
        self.socket.settimeout(60)
        listener.close()
        self.asked = 0

    @staticmethod
    def lead():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read(self):
        while True:
            try:
                got = os.read(self.leader, 65536)
            except OSError:
                return
            if not got:
                return
            self.seen += got.decode("utf-8", "replace")

    def keys(self, text):
        """Typed at the terminal; where that is a window, put before Vim as if typed."""
        if self.leader is not None:
            os.write(self.leader, text.encode())
        else:
            self.tell("call", "feedkeys", [text, "t"])

    def tell(self, *command):
        self.socket.sendall(json.dumps(command).encode())

    def ask(self, expression):
        """What the expression is in Vim, now."""
        self.asked -= 1
        self.tell("expr", expression, self.asked)
        decoder, text = json.JSONDecoder(), ""
        while True:                                     # answers are not ended by a newline
            text += self.socket.recv(1 << 20).decode()
            try:
                number, answer = decoder.decode(text)
            except ValueError:
                continue
            assert number == self.asked, (number, self.asked)
            return answer

    def until(self, expression, seconds=120):
        """Asks until the answer is true. Returns it, or None."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = self.ask(expression)
            if answer:
                return answer
            time.sleep(0.01)
        print(f"in {seconds} s this did not come true: {expression}; there is {self.ask('LlmCompleteInfo()')}", file=sys.stderr)
        return None

    def shows(self, word, seconds=10):
        """Whether the terminal was given it."""
        end = time.monotonic() + seconds
        while word not in self.seen and time.monotonic() < end:
            time.sleep(0.01)
        return word in self.seen

    def close(self):
        self.tell("ex", "qall!")
        try:
            self.program.wait(10)
        except subprocess.TimeoutExpired:
            self.program.kill()
            self.program.wait()
        self.socket.close()
        if self.leader is not None:
            os.close(self.leader)
