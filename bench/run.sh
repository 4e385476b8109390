#!/bin/sh
# Runs all benchmarks of the build folder $1 and prints their lines: a few minutes. Peers that are not there are left out,
# and said to be. See docs/performance.md.
set -eu

build=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
export CELERIAC="$build/src/celeriac" BENCH_MODULE="$build/bench/noop.so"
unset BROKER_URL RESULT_BACKEND CELERY_BROKER_URL CELERY_RESULT_BACKEND APP 2>/dev/null || true

hotwords=$build/examples/hotwords
[ ! -e "$hotwords/hotwords.so" ] || export HOTWORDS_MODULE="$hotwords/hotwords.so"

title() { printf '\n== %s\n' "$1"; }
title "embedded broker and store"
"$build/bench/bench_embedded" 100000 normal
"$build/bench/bench_embedded" 20000 full
title "round trip"
python3 "$here/bench_roundtrip.py" "$build/bench/bench_roundtrip"
title "chords"
"$build/bench/bench_chord"
title "nested canvases"
python3 "$here/bench_canvas.py" "$build/bench/bench_canvas"
title "pool"
"$build/bench/bench_pool"
title "programs"
python3 "$here/bench_programs.py" "$build/bench/bench_spawn"
title "start and memory"
python3 "$here/bench_startup.py"
title "RabbitMQ and Redis"
python3 "$here/bench_servers.py" "$build/bench/bench_servers"
title "events"
"$build/bench/bench_events"
python3 "$here/bench_events.py" "$build/bench/bench_servers"
title "segmentation"
if [ -x "$hotwords/bench_segment" ]; then
    "$hotwords/bench_segment" --data "$here/../examples/hotwords/data" --peer "$here/../examples/hotwords/bench_jieba.py"
else
    echo "skipped: the example was not built (it needs the dictionary of python3-jieba)"
fi
