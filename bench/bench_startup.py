"""How long a worker takes to be ready and what memory it holds, beside Celery's (Debian's python3-celery, if it is there).

Celery's worker has an application of one task and a folder as its broker."""
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 3
CHILDREN = 2
COMMAND = os.environ["CELERIAC"]
MODULE = os.environ["BENCH_MODULE"]
HOTWORDS = os.environ.get("HOTWORDS_MODULE")  # a module with a large dictionary


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == pid:
                found.append(int(entry))
    return found


def memory(pid):
    """Resident and private KiB of a process."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        text = rollup.read()
    sizes = {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return sizes["Rss"], sizes["Private_Clean"] + sizes["Private_Dirty"]


def pool(pid):
    """The children that run tasks: those of the process, or of its zygote, without the zygote."""
    below = children(pid)
    deeper = [grandchild for child in below for grandchild in children(child)]
    return deeper or below


def measure(argv, env=None):
    start = time.monotonic()
    worker = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=env)
    seen = []
    for line in worker.stderr:
        seen.append(line)
        if "ready." in line:
            break
    else:
        sys.exit("the worker did not get ready:\n" + "".join(seen))
    ready_ms = (time.monotonic() - start) * 1000
    while len(pool(worker.pid)) < CHILDREN:
        if time.monotonic() - start > 10:
            sys.exit(f"the worker has no {CHILDREN} children")
        time.sleep(0.01)
    time.sleep(0.2)  # they are idle
    parent = memory(worker.pid)[0]
    idle = [memory(pid)[1] for pid in pool(worker.pid)]
    worker.send_signal(signal.SIGTERM)
    worker.stderr.read()
    worker.wait()
    return ready_ms, parent / 1024, max(idle) / 1024


def report(name, rounds):
    ready, parent, child = (statistics.median(column) for column in zip(*rounds))
    print(f"{name}: ready after {ready:.0f} ms, parent {parent:.1f} MB resident, idle child {child:.2f} MB private (median of {len(rounds)})")
    return ready, parent, child


def main():
    folder = tempfile.mkdtemp(prefix="celeriac-bench-")
    url = f"sqlite:///{folder}/start.db"

    def ours_argv(module):
        return [COMMAND, "-q", "-A", module, "-b", url, "--result-backend", url, "worker", "-c", str(CHILDREN), "-l", "info"]

    python = "/usr/bin/python3"
    has_celery = subprocess.run([python, "-c", "import celery"], capture_output=True).returncode == 0
    with open(f"{folder}/peer.py", "w") as module:
        module.write(
            "from celery import Celery\n"
            f"app = Celery('peer', broker='filesystem://', backend='file://{folder}')\n"
            f"app.conf.broker_transport_options = {{'data_folder_in': '{folder}', 'data_folder_out': '{folder}'}}\n"
            "@app.task\ndef noop():\n    pass\n")
    env = dict(os.environ, PYTHONPATH=folder)
    peer_argv = [python, "-m", "celery", "-q", "-A", "peer", "worker", "-c", str(CHILDREN), "-l", "info", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    ours, hotwords, peer = [], [], []
    for _ in range(ROUNDS):
        ours.append(measure(ours_argv(MODULE)))
        if HOTWORDS:
            hotwords.append(measure(ours_argv(HOTWORDS)))
        if has_celery:
            peer.append(measure(peer_argv, env))
    mine = report("celeriac worker -c 2", ours)
    if HOTWORDS:
        report("celeriac worker -c 2, with hotwords and its dictionary", hotwords)
    if has_celery:
        theirs = report("celery   worker -c 2", peer)
        print("celery / celeriac: ready %.0f, parent %.1f, idle child %.0f" % tuple(b / a for a, b in zip(mine, theirs)))
    else:
        print("celery is not installed: nothing to compare with")
    shutil.rmtree(folder)


main()
