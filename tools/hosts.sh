#!/bin/sh
# SPDX-License-Identifier: MIT
# hosts.sh BUILD: runs the examples with a window on a screen in memory, with the inputs of their tour.txt, and leaves their pictures in BUILD/pictures.
# Those in docs/pictures are made so; but for times and flames they come out the same.
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
mkdir -p "$build/pictures"
export SDL_VIDEODRIVER=x11 SDL_RENDER_DRIVER=software

for name in game desktop; do
    picture=$build/pictures/$name.png
    rm -f "$picture"
    echo "--- $name"
    timeout 100 xvfb-run -a -s "-screen 0 1280x800x24" "$build/examples/$name" --script "examples/$name/tour.txt" --picture "$picture"
    size=$(wc -c < "$picture")
    [ "$size" -lt 100000 ] || { echo "FAILED: the picture of $name has $size bytes, more than 100,000" >&2; exit 1; }
done

# What goes wrong is told, not a crash or a hang.
echo "wait idle" > "$build/pictures/wait.txt"
for name in game desktop; do
    if timeout 30 xvfb-run -a "$build/examples/$name" -m /no/such/model --script "$build/pictures/wait.txt" > /dev/null 2> "$build/pictures/refused"; then
        echo "FAILED: $name runs without a model" >&2
        exit 1
    fi
    grep -q "/no/such/model" "$build/pictures/refused" || { echo "FAILED: $name does not say which file" >&2; exit 1; }
done
rm -f "$build/pictures/refused" "$build/pictures/wait.txt"
