#!/bin/sh
# The main job on real servers, step by step: RabbitMQ, Redis, the dispatcher, a worker.
#
#   demo-servers.sh BUILD_DIR        run after `meson compile -C BUILD_DIR`; `make demo-servers` does both
#
# The servers are private ones: on ports of their own, in a temporary folder, gone when it is over.
# HOTWORDS_DATA is the folder of the chat records; without it the example's own small set is taken.
# The page with the ranking is left in BUILD_DIR/hotwords.html.
set -eu

if [ $# -ne 1 ] || [ ! -x "$1/src/celeriac" ] || [ ! -x "$1/examples/hotwords/hotwords" ]; then
    echo "usage: $0 BUILD_DIR (a folder in which Celeriac has been built)" >&2
    exit 2
fi
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
exec python3 "$here/demo_servers.py" "$build"
