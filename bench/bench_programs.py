"""How many programs a worker runs per second, beside a bare loop that does no more than posix_spawn() and wait().

Both run /bin/true, two at a time; three rounds in turn; what counts is the ratio of the medians."""
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 3
PARALLEL = 2
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
BENCH = sys.argv[1]
COMMAND = os.environ["CELERIAC"]


def bare():
    """Programs per second of the bare loop, which bench_spawn runs."""
    return float(subprocess.run([BENCH, str(COUNT), str(PARALLEL)], check=True, capture_output=True, text=True).stdout)


def worked(folder, number):
    """Programs per second of a worker that finds all of them in its queue."""
    url = f"sqlite:///{folder}/bench-{number}.db?synchronous=normal"
    config = os.path.join(folder, "config.py")
    with open(config, "w", encoding="utf-8") as file:
        file.write("task_programs = {'bench.true': ['/bin/true']}\n")
    common = [COMMAND, "-b", url, "--config", config]
    sent = subprocess.run([BENCH, "send", url, str(COUNT)], check=True, capture_output=True, text=True)
    assert not sent.stderr, sent.stderr
    worker = subprocess.Popen(common + ["worker", "-c", str(PARALLEL), "-l", "info", "-n", "bench@here"], stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, text=True, cwd=folder)
    done, start = 0, None
    for line in worker.stderr:
        if " ready." in line:
            start = time.monotonic()
        if re.search(r"succeeded in", line):
            done += 1
        if done == COUNT:
            break
    seconds = time.monotonic() - start
    worker.send_signal(signal.SIGTERM)
    worker.stderr.read()
    worker.wait()
    return COUNT / seconds


def main():
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as folder:
        pairs = [(bare(), worked(folder, number)) for number in range(ROUNDS)]
    loop, worker = (statistics.median(values) for values in zip(*pairs))
    print(f"programs: worker {worker:.0f}/s, bare posix_spawn and wait {loop:.0f}/s, ratio {worker / loop:.2f} "
          f"({', '.join(f'{w:.0f}/{b:.0f}' for b, w in pairs)})")


main()
