"""Round trip from send to get on an idle worker, one task after the other: Celeriac over its embedded store beside
Python's Celery over a private Redis (if redis-server, python3-redis and python3-celery are there), in turn."""
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 3
OURS = 3000
PEERS = 1000
PYTHON = "/usr/bin/python3"
APP = """
import time
from celery import Celery
app = Celery('peer', broker='{url}', backend='{url}')
@app.task(name='peer.noop')
def noop():
    pass
if __name__ == '__main__':
    ms = []
    for i in range({warm} + {count}):
        start = time.monotonic()
        noop.delay().get(timeout=60)
        ms.append((time.monotonic() - start) * 1000)
    ms = sorted(ms[{warm}:])
    print(ms[len(ms) // 2], ms[len(ms) * 99 // 100])
"""


def ours(program, level):
    out = subprocess.run([program, str(OURS), level], check=True, stdout=subprocess.PIPE, text=True).stdout
    return tuple(float(ms) for ms in re.search(r"median ([\d.]+) ms, p99 ([\d.]+)", out).groups())


def missing():
    """What the peer lacks; None if nothing."""
    if not shutil.which("redis-server"):
        return "redis-server"
    for module in "celery", "redis":
        if subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode != 0:
            return f"Python's module {module}"
    return None


class Peer:
    """A Redis of our own, and a worker of Python's Celery."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"redis://127.0.0.1:{port}/0"
        self.folder = folder
        self.redis = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.worker = None
        with open(f"{folder}/peer.py", "w") as module:
            module.write(APP.format(url=url, warm=100, count=PEERS))
        try:
            self.wait_for(port)
        except OSError:
            self.stop()
            raise
        self.worker = subprocess.Popen(
            [PYTHON, "-m", "celery", "-q", "-A", "peer", "worker", "-c", "2", "-l", "error",
             "--without-gossip", "--without-mingle", "--without-heartbeat"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_for(self, port):
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def measure(self):
        out = subprocess.run([PYTHON, "peer.py"], cwd=self.folder, check=True, capture_output=True, text=True).stdout
        return tuple(float(ms) for ms in out.split())

    def stop(self):
        for process in filter(None, (self.worker, self.redis)):
            process.terminate()
            process.wait()


def report(name, rounds):
    median, p99 = (statistics.median(column) for column in zip(*rounds))
    print(f"round trip send -> get, idle worker, {name}: median {median:.3f} ms, p99 {p99:.3f} ms (median of {len(rounds)} rounds)")
    return median, p99


def start_peer(folder):
    """Returns the peer, or None and why there is none."""
    lacking = missing()
    if lacking:
        return None, f"it needs {lacking}"
    try:
        return Peer(folder), None
    except OSError as error:
        return None, str(error)


def main():
    program = sys.argv[1]
    folder = tempfile.mkdtemp(prefix="celeriac-bench-")
    peer, why = start_peer(folder)
    normal, full, theirs = [], [], []
    try:
        for _ in range(ROUNDS):
            normal.append(ours(program, "normal"))
            full.append(ours(program, "full"))
            if peer and not why:
                try:
                    theirs.append(peer.measure())
                except subprocess.CalledProcessError as error:
                    why = error.stderr.strip().splitlines()[-1]
    finally:
        if peer:
            peer.stop()
        shutil.rmtree(folder)
    mine = report("celeriac, synchronous=normal", normal)
    report("celeriac, synchronous=full", full)
    if not why:
        other = report("celery over Redis", theirs)
        print("celery / celeriac (normal): median %.1f, p99 %.1f" % (other[0] / mine[0], other[1] / mine[1]))
    else:
        print(f"no peer (Python's Celery over Redis): {why}")


main()
