#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""picture.py LLM_COMPLETE OUT.png: the picture of docs/pictures/editor.png: a real Vim with the plugin in an xterm under Xvfb, three moments one
below the other, as they happen on this machine. Fails if no ghost is to be seen."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vim import Vim

BACK, FRONT, GHOST = (0x11, 0x22, 0x33), (0xee, 0xee, 0xee), (0x87, 0xaf, 0xd7)
STORY = ["Once upon a time, in a forest, lived a fox called Klima.", "Klima was very clever and had a friend, a crow."]


def start_display(folder):
    """An X server whose screen is a file: XWD, what xwd would write (X11/XWDFile.h). So small that the pointer, in the middle, is on the window,
    which therefore has the focus."""
    server = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "1200x200x24", "-fbdir", folder, "-nolisten", "tcp", "-nocursor"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    number = server.stdout.readline().strip()
    if not number:
        sys.exit("picture.py: Xvfb does not start")
    os.environ["DISPLAY"] = ":" + number
    return server


def screen(folder):
    """Rows of (r, g, b)."""
    data = open(os.path.join(folder, "Xvfb_screen0"), "rb").read()
    head = struct.unpack(">25I", data[:100])
    width, height, bits, stride, n_colors = head[4], head[5], head[11], head[12], head[19]
    assert bits == 32, head
    order = "<I" if head[7] == 0 else ">I"
    at = head[0] + 12 * n_colors
    rows = []
    for y in range(height):
        pixels = struct.iter_unpack(order, data[at + y * stride:at + y * stride + 4 * width])
        rows.append([((p >> 16) & 255, (p >> 8) & 255, p & 255) for (p,) in pixels])
    return rows


def settled(folder):
    """The screen when it has stood still for a moment, cut to the window: the rest of it is black."""
    before = None
    for _ in range(100):
        rows = screen(folder)
        if rows == before:
            break
        before = rows
        time.sleep(0.25)
    black = (0, 0, 0)
    rows = [row for row in rows if any(p != black for p in row)]
    right = max(x for row in rows for x, p in enumerate(row) if p != black) + 1
    return [row[:right] for row in rows]


def write_png(path, rows):
    colors = sorted({p for row in rows for p in row})
    if len(colors) > 256:                       # fewer steps between letters and ground, until a palette holds them
        rows = [[tuple(min(255, (c + 8) // 17 * 17) for c in p) for p in row] for row in rows]
        colors = sorted({p for row in rows for p in row})
    index = {p: i for i, p in enumerate(colors)}
    assert len(colors) <= 256, len(colors)
    raw = b"".join(b"\0" + bytes(index[p] for p in row) for row in rows)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)) +
                   chunk(b"PLTE", b"".join(bytes(p) for p in colors)) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def main():
    program, out = sys.argv[1:3]
    os.environ.pop("WAYLAND_DISPLAY", None)
    with tempfile.TemporaryDirectory() as folder:
        server = start_display(folder)
        story = os.path.join(folder, "story.txt")
        with open(story, "w") as file:
            file.write("\n".join(STORY) + "\n")
        xterm = ["xterm", "-u8", "-geometry", "104x7+0+0", "-b", "10", "-bw", "0", "-fa", "DejaVu Sans Mono", "-fs", "13",
                 "-bg", "#%02x%02x%02x" % BACK, "-fg", "#%02x%02x%02x" % FRONT, "-cr", "#ffcc44", "+sb", "-tn", "xterm-256color",
                 "-xrm", "xterm*vt100.cursorBlink: never", "-e"]
        v = Vim(folder, story, {"llm_complete_program": program, "llm_complete_tokens": 12, "llm_complete_auto": 1}, terminal=xterm)
        try:
            frames = moments(v, folder)
            v.close()
        finally:
            server.terminate()
            server.wait()
    for frame in frames:
        if sum(row.count(GHOST) for row in frame) < 100:
            sys.exit("picture.py: no ghost is to be seen")
    gap = [[(255, 255, 255)] * len(frames[0][0])] * 6
    rows = frames[0] + gap + frames[1] + gap + frames[2]
    write_png(out, rows)
    print(f"{out}: {len(rows[0])} x {len(rows)}, {os.path.getsize(out)} bytes")


def moments(v, folder):
    info = "LlmCompleteInfo()"
    v.ask("execute('set laststatus=2 noshowmode noruler noshowcmd wrap linebreak background=dark fillchars=eob:\\ ')")
    v.ask("execute('highlight StatusLine cterm=NONE ctermbg=238 ctermfg=255')")
    v.ask("execute('highlight LlmGhost ctermfg=110 cterm=italic')")          # GHOST
    v.ask("execute('let &statusline = \" %{g:caption}%=%{g:figures} \"')")
    figures = (f"printf('%s: %d tokens in %d ms; the prompt: %d, %d of them new', {info}.ready.model, {info}.last.tokens, "
               f"float2nr({info}.last.ms + 0.5), {info}.last.prompt, {info}.last.new)")

    def caption(text):
        v.ask(f"execute({json.dumps('let g:caption = ' + json.dumps(text))})")
        v.ask(f"execute({json.dumps('let g:figures = ' + figures)})")
        v.ask("timer_start(1, {-> execute('redrawstatus!')})")      # a redraw that the channel asks for leaves the cursor hidden
        time.sleep(0.2)

    def answered(n):
        if not v.until(f"{info}.number > {n} && !{info}.busy && {info}.ghost != ''"):
            sys.exit("picture.py: no answer came")

    v.ask("execute(\"let [g:caption, g:figures] = ['', '']\")")
    v.until(f"!empty({info}.ready)")
    v.keys("GoOne day, she s")
    answered(0)
    caption("typed: 'One day, she s'")
    one = settled(folder)
    n = v.ask(f"{info}.number")
    v.keys("\t")
    answered(n)
    caption("Tab took it, and the next is there")
    two = settled(folder)
    n = v.ask(f"{info}.number")
    v.keys(". But the crow was")
    answered(n)
    caption("typed on: '. But the crow was'")
    three = settled(folder)
    return one, two, three


main()
