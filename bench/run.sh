#!/bin/sh
# Runs all benchmarks of the build folder $1 and prints their lines.
set -eu

build=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
export CELERIAC="$build/src/celeriac" BENCH_MODULE="$build/bench/noop.so"
unset BROKER_URL RESULT_BACKEND CELERY_BROKER_URL CELERY_RESULT_BACKEND APP 2>/dev/null || true

title() { printf '\n== %s\n' "$1"; }
title "embedded broker and store"
"$build/bench/bench_embedded" 100000 normal
"$build/bench/bench_embedded" 20000 full
"$build/bench/bench_roundtrip"
"$build/bench/bench_chord"
title "pool"
"$build/bench/bench_pool"
title "start and memory"
python3 "$here/bench_startup.py"
title "segmentation"
"$build/examples/hotwords/bench_segment"
