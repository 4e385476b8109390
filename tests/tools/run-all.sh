#!/bin/sh
# Runs every test there is and ends with "N passed, N failed".
#
#   asan    all tests, built with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
#   tsan    the tests in which threads meet, built with ThreadSanitizer
#   clang   a build with clang, warnings as errors (the gcc builds treat them so, too); and the fuzz targets, some seconds each
#
# CELERIAC_TEST_ONLY="asan" runs a part of it. A test that is skipped is listed, with its reason.
set -u

cd "$(dirname "$0")/../.." || exit 1
only=${CELERIAC_TEST_ONLY:-asan tsan clang}
jobs=$(nproc)
threaded='engine_test broker_memory_test broker_sqlite_test broker_amqp_test broker_redis_test memory_test sqlite_test redis_test threads_test client_test dispatch_test
    producer_test result_test producer_test_sqlite result_test_sqlite'
passed=0
failed=0

count() {
    counts=$(python3 tests/tools/count.py "$1/meson-logs/testlog.json" "$2") || counts="0 1"
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
}

step() { # name, then a command that must succeed
    name=$1
    shift
    if "$@" >"build-logs/$name.log" 2>&1; then
        echo "ok   $name"
        return 0
    fi
    echo "FAIL $name"
    tail -n 60 "build-logs/$name.log"
    failed=$((failed + 1))
    return 1
}

setup() { # directory, compiler, options...
    dir=$1
    cc=$2
    shift 2
    [ -f "$dir/build.ninja" ] || CC=$cc meson setup "$dir" --werror -Dtests=enabled "$@"
}

mkdir -p build-logs
for part in $only; do
    case $part in
    asan)
        step asan-setup setup build-asan gcc --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false || continue
        step asan-build meson compile -C build-asan -j "$jobs" || continue
        meson test -C build-asan --no-rebuild --num-processes "$jobs" --print-errorlogs
        count build-asan asan
        ;;
    tsan)
        step tsan-setup setup build-tsan gcc --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false || continue
        step tsan-build meson compile -C build-tsan -j "$jobs" || continue
        meson test -C build-tsan --no-rebuild --num-processes "$jobs" --print-errorlogs $threaded
        count build-tsan tsan
        ;;
    clang)
        step clang-setup setup build-clang clang --buildtype=debugoptimized || continue
        if step clang-build meson compile -C build-clang -j "$jobs"; then
            passed=$((passed + 1))
        fi
        step fuzz-setup setup build-fuzz clang --buildtype=debugoptimized -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
            -Dc_args=-fsanitize=fuzzer-no-link || continue
        step fuzz-build ninja -C build-fuzz -j "$jobs" tests/fuzz/fuzz_decode tests/fuzz/fuzz_message tests/fuzz/fuzz_result \
            tests/fuzz/fuzz_url tests/fuzz/fuzz_control || continue
        meson test -C build-fuzz --no-rebuild --num-processes "$jobs" --print-errorlogs --suite fuzz
        count build-fuzz fuzz
        ;;
    esac
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
