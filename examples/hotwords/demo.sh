#!/bin/sh
# The main job on the embedded default, from an empty folder to the ranking: no server, one SQLite file.
#
#   demo.sh BUILD_DIR        run after `meson compile -C BUILD_DIR`; `make demo` does both
#
# HOTWORDS_DATA is the folder of the chat records; without it the example's own small set is taken.
# The page with the ranking is left in BUILD_DIR/hotwords.html.
set -eu

if [ $# -ne 1 ] || [ ! -x "$1/src/celeriac" ] || [ ! -x "$1/examples/hotwords/hotwords" ]; then
    echo "usage: $0 BUILD_DIR (a folder in which Celeriac has been built)" >&2
    exit 2
fi
build=$(cd "$1" && pwd)
module=$build/examples/hotwords/hotwords.so
page=$build/hotwords.html
if [ -n "${HOTWORDS_DATA:-}" ]; then
    HOTWORDS_DATA=$(cd "$HOTWORDS_DATA" && pwd) # the worker runs in another folder
    export HOTWORDS_DATA
fi
PATH=$build/src:$build/examples/hotwords:$PATH
export PATH
# The demo shows the default: no configuration of the caller's is to change it.
unset CELERY_BROKER_URL CELERY_RESULT_BACKEND CELERY_CONFIG_MODULE BROKER_URL HOTWORDS_DICT

folder=$(mktemp -d "${TMPDIR:-/tmp}/celeriac-demo.XXXXXX")
worker=
end() { # ends what is still running of ours, and removes the folder
    status=$?
    trap - EXIT INT TERM HUP
    [ ! -s "$folder/client.pid" ] || [ -s "$folder/client.status" ] || kill "$(cat "$folder/client.pid")" 2>/dev/null || :
    [ -z "$worker" ] || kill -QUIT "$worker" 2>/dev/null || :
    wait || :
    rm -rf "$folder"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
cd "$folder"

say() { printf '\n# %s\n' "$*"; }
await() { # file, text: waits until the file has it; a minute at most
    tries=0
    until grep -qs -- "$2" "$1"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 1200 ] || { [ -n "$worker" ] && ! kill -0 "$worker" 2>/dev/null; } ||
            { [ -s client.status ] && [ "$(cat client.status)" -ne 0 ]; }; then
            echo "demo.sh: '$2' did not come; $1 has:" >&2
            cat "$1" >&2
            exit 1
        fi
        sleep 0.05
    done
}

say "The client sends four tasks and what is to follow them. Nobody is there yet to do them."
printf '$ hotwords --report hotwords.html &\n'
# All it prints goes through a pipe, so that its progress comes line by line and nothing gets mixed up.
{
    hotwords --report "$page" --timeout 120 &
    echo $! >client.pid
    code=0
    wait $! || code=$?
    echo "$code" >client.status
} 2>&1 | tee client.log &
await client.log 'sent to the queue'

say "They wait in the file celeriac.db."
printf '$ celeriac list queues\n'
celeriac list queues

say "A worker with four processes, started as one starts Celery's."
printf '$ celeriac -A %s worker -n celery_test -c 4 -l info -Q celery_test &\n' "$module"
celeriac -A "$module" worker -n celery_test -c 4 -l info -Q celery_test >worker.log 2>&1 &
worker=$!
await client.status '[0-9]'
await worker.log 'ready\.$'

say "The worker is asked to end when it has done what it is doing."
printf '$ kill -TERM %s\n' "$worker"
kill -TERM "$worker"
code=0
wait "$worker" || code=$?
worker=

say "What it wrote (lines cut):"
cut -c 1-140 worker.log | iconv -c -f UTF-8 -t UTF-8
if [ "$(cat client.status)" -ne 0 ] || [ "$code" -ne 0 ]; then
    echo "demo.sh: the client ended with $(cat client.status), the worker with $code" >&2
    exit 1
fi
say "The page with the ranking as a picture: $page"
