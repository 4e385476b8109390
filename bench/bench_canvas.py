"""Nested canvases of growing size: bytes to the server and time, per node, of Celeriac and of Python's Celery, each on a private Redis
that is broker and store. The bytes are the server's own count of what it was sent: messages, chord parts, results, acknowledgements.

A canvas that Celery has not ended after LIMIT seconds is said to be so."""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SIZES = [10, 100, 1000, 10000]
LIMIT = float(os.environ.get("BENCH_CANVAS_LIMIT", "120"))
PYTHON = "/usr/bin/python3"
PEER = '''
import sys, time
from celery import Celery, chain, chord, group
app = Celery("canvas_peer", broker="URL", backend="URL")
app.conf.worker_prefetch_multiplier = 100

@app.task(name="bench.echo")
def echo(value):
    return value

@app.task(name="bench.count")
def count(results):
    return len(results)

def tree(nodes):
    if nodes < 3:
        return echo.s(1)
    parts, left = [], nodes - 1
    for i in range(4):
        if left <= 0:
            break
        share = max(left // (4 - i), 1)
        if share == 2:
            share = 2 if i == 3 else 1
        parts.append(echo.s(1) | echo.s() if share == 2 else tree(share))
        left -= share
    return chord(parts, count.s())

def ladder(nodes):
    steps = []
    for i in range(nodes // 4):
        steps += [group(echo.s(1) if i == 0 else echo.s() for _ in range(3)), count.s()]
    return chain(steps)

if __name__ == "__main__":
    sys.setrecursionlimit(100000)
    canvas = {"tree": tree, "ladder": ladder}[sys.argv[1]](int(sys.argv[2]))
    start = time.monotonic()
    result = canvas.apply_async()
    app.AsyncResult(result.id).get(timeout=LIMIT)
    print(time.monotonic() - start)
'''


class Side:
    """A Redis with the workers of one of the two."""

    def __init__(self, folder, name):
        self.folder, self.processes = os.path.join(folder, name), []
        os.mkdir(self.folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder)
        deadline = time.monotonic() + 10
        while self.cli("PING") != "PONG":
            if time.monotonic() > deadline:
                raise RuntimeError("Redis did not start")
            time.sleep(0.02)

    def start(self, *command, **options):
        self.processes.append(subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL, **options))

    def cli(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=False).stdout.strip()

    def bytes_in(self):
        return int(re.search(r"total_net_input_bytes:(\d+)", self.cli("INFO", "stats")).group(1))

    def measure(self, command, nodes):
        """Returns bytes and milliseconds per node; None if it did not end."""
        before = self.bytes_in()
        try:
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=LIMIT + 10, check=False)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode != 0:
            return None
        return (self.bytes_in() - before) / nodes, float(done.stdout) * 1000 / nodes

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


def ours(folder, program):
    side = Side(folder, "ours")
    side.start(os.environ["CELERIAC"], "-A", os.environ["BENCH_MODULE"], "-b", side.url, "--result-backend", side.url, "worker", "-c", "2", "-l",
               "error")
    side.command = lambda shape, nodes: [program, side.url, side.url, shape, str(nodes)]
    return side


def theirs(folder):
    for module in "celery", "redis":
        if subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode != 0:
            return None
    side = Side(folder, "theirs")
    with open(os.path.join(side.folder, "canvas_peer.py"), "w", encoding="utf-8") as module:
        module.write(PEER.replace("URL", side.url).replace("LIMIT", str(LIMIT)))
    side.start(PYTHON, "-m", "celery", "-A", "canvas_peer", "worker", "-c", "2", "-l", "error", "--without-gossip", "--without-mingle",
               "--without-heartbeat")
    side.command = lambda shape, nodes: [PYTHON, "canvas_peer.py", shape, str(nodes)]
    return side


def main():
    if not shutil.which("redis-server"):
        print("skipped: there is no redis-server")
        return
    folder = tempfile.mkdtemp(prefix="celeriac-bench-")
    sides = []
    try:
        sides.append(("celeriac", ours(folder, sys.argv[1])))
        peer = theirs(folder)
        if peer:
            sides.append(("celery", peer))
        else:
            print("no peer: Python's Celery with redis is not installed")
        for _, side in sides:
            side.measure(side.command("tree", 10), 10)  # the first is slow: processes start
        for shape in "tree", "ladder":
            alive = {name for name, _ in sides}
            for nodes in SIZES if shape == "tree" else SIZES[:3]:
                found = {name: side.measure(side.command(shape, nodes), nodes) for name, side in sides if name in alive}
                words = [f"{name} {cost[0]:,.0f} bytes, {cost[1]:.2f} ms a node" if cost else f"{name} did not end in {LIMIT:.0f} s"
                         for name, cost in found.items()]
                mine, other = found.get("celeriac"), found.get("celery")
                if mine and other:
                    words.append(f"celery / celeriac: bytes {other[0] / mine[0]:.1f}, time {other[1] / mine[1]:.1f}")
                print(f"{shape} of {nodes:5d} nodes: " + "; ".join(words), flush=True)
                alive = {name for name, cost in found.items() if cost}  # what did not end is still at work
    finally:
        for _, side in sides:
            side.close()
        shutil.rmtree(folder)


main()
