#!/bin/sh
# Runs a fuzz target for some seconds from its seeds: run.sh TARGET SEEDS [SECONDS]. What it finds on its way goes to a temporary
# folder; an input that breaks it is shown in base64 and kept as crash-* in the working directory.
set -eu

found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
"$1" -max_total_time="${3:-4}" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 "$found" "$2"
