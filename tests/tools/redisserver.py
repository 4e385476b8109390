"""A private Redis server for tests: own folder and port, a password, gone when it is over.

    with redisserver.Server() as server:    server.port, server.url(db), server.cli("KEYS", "*", db=1), server.kill(), server.start()
"""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PASSWORD = "password"


class Missing(Exception):
    """There is no Redis here."""


class Server:
    def __init__(self):
        if not shutil.which("redis-server"):
            raise Missing("Redis is not installed (package redis-server)")
        self.dir = tempfile.mkdtemp(prefix="celeriac-redis-")
        self.process = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        """Starts it, with what it had written, and waits until it answers."""
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD,
                                         "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", self.dir],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while self.cli("PING", check=False) != "PONG":
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Redis did not start")
            time.sleep(0.02)  # the step of a look

    def url(self, db=1, password=PASSWORD):
        return f"redis://:{password}@127.0.0.1:{self.port}/{db}"

    def cli(self, *words, db=1, check=True):
        """Runs redis-cli; returns its output without the last newline."""
        done = subprocess.run(["redis-cli", "-p", str(self.port), "-n", str(db), "--no-auth-warning", *map(str, words)], text=True,
                              env={**os.environ, "REDISCLI_AUTH": PASSWORD}, stdin=subprocess.DEVNULL, capture_output=True,
                              check=check)
        return done.stdout.rstrip("\n")

    def keys(self, pattern="*", db=1):
        return sorted(self.cli("KEYS", pattern, db=db).splitlines())

    def kill(self, number=signal.SIGKILL):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
