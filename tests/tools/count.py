"""Reads meson's testlog.json and prints "PASSED FAILED"; what was skipped is listed on stderr.

A cmocka program counts each of its tests; a test of another kind counts as one."""
import json
import re
import sys

passed = failed = 0
for line in open(sys.argv[1], encoding="utf-8"):
    test = json.loads(line)
    output = (test.get("stdout") or "") + (test.get("stderr") or "")
    good = len(re.findall(r"^\[       OK \] ", output, re.M))
    bad = len(re.findall(r"^\[  FAILED  \] [^0-9\n]", output, re.M))
    result = test["result"]
    if result == "SKIP":
        reason = [part for part in output.splitlines() if part.strip()]
        print(f"skipped ({sys.argv[2]}): {test['name']}: {reason[-1] if reason else 'no reason given'}", file=sys.stderr)
    elif result in ("OK", "EXPECTEDFAIL"):
        passed += max(good, 1)
    else:
        passed += good
        failed += max(bad, 1) if good or bad else 1
print(passed, failed)
