"""A private Redis server for tests: own folder and port, a password, gone when it is over.

    with redisserver.Server() as server:    server.port, server.url(db), server.cli("KEYS", "*", db=1), server.kill(), server.start()

With tls=True it has a second port for TLS: server.tls_url(db), server.ca (who has signed its certificate).
"""
import atexit
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


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sentinels:
    """A master, a replica, and two sentinels that make the replica the master when it dies: url(db), kill_master(), close()."""

    def __init__(self):
        if not shutil.which("redis-server"):
            raise Missing("Redis is not installed (package redis-server)")
        self.dir, self.processes = tempfile.mkdtemp(prefix="celeriac-redis-"), []
        atexit.register(self.close)  # should the test be interrupted
        master, replica, *self.ports = [_free_port() for _ in range(4)]
        self.master = master
        common = ["--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"]
        try:
            self._run("redis-server", "--port", str(master), *common)
            self._run("redis-server", "--port", str(replica), *common, "--replicaof", "127.0.0.1", str(master))
            self._wait(lambda: "state=online" in self._info(master, "replication"), "the replica did not find its master")
            for port in self.ports:
                path = os.path.join(self.dir, f"{port}.conf")
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f"port {port}\nsentinel monitor mymaster 127.0.0.1 {master} 2\nsentinel auth-pass mymaster {PASSWORD}\n"
                               "sentinel down-after-milliseconds mymaster 700\nsentinel failover-timeout mymaster 3000\n")
                self._run("redis-server", path, "--sentinel")
            for port in self.ports:
                self._wait(lambda port=port: "slaves=1,sentinels=2" in self._info(port, "sentinel"), "the sentinels did not find all")
        except BaseException:
            self.close()
            raise

    def _run(self, *words):
        self.processes.append(subprocess.Popen(words, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL))

    @staticmethod
    def _info(port, section):
        return subprocess.run(["redis-cli", "-p", str(port), "INFO", section], text=True, env={**os.environ, "REDISCLI_AUTH": PASSWORD},
                              stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout

    @staticmethod
    def _wait(condition, failure):
        deadline = time.monotonic() + 30
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(failure)
            time.sleep(0.05)  # the step of a look

    def url(self, db=0):
        first, second = self.ports
        return f"sentinel://:{PASSWORD}@127.0.0.1:{first}/{db}?master_name=mymaster;sentinel://127.0.0.1:{second}"

    def kill_master(self):
        self.processes[0].kill()
        self.processes[0].wait()

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Server:
    def __init__(self, tls=False):
        if not shutil.which("redis-server"):
            raise Missing("Redis is not installed (package redis-server)")
        self.dir = tempfile.mkdtemp(prefix="celeriac-redis-")
        atexit.register(self.close)
        self.process = None
        self.port = _free_port()
        self.options = []
        try:
            if tls:
                self._make_certificates()
            self.start()
        except BaseException:
            self.close()
            raise

    def _openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.dir, stdin=subprocess.DEVNULL, capture_output=True, check=True)

    def _make_certificates(self):
        if not shutil.which("openssl"):
            raise Missing("openssl is not installed (package openssl)")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
        self._openssl("req", *key, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr")
        with open(os.path.join(self.dir, "names"), "w", encoding="utf-8") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                      "-extfile", "names", "-out", "server.pem")
        self.ca, self.tls_port = os.path.join(self.dir, "ca.pem"), _free_port()
        self.options = ["--tls-port", str(self.tls_port), "--tls-cert-file", "server.pem", "--tls-key-file", "server.key",
                        "--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "no"]

    def tls_url(self, db=1, query=None):
        query = f"ssl_cert_reqs=required&ssl_ca_certs={self.ca}" if query is None else query
        return f"rediss://:{PASSWORD}@127.0.0.1:{self.tls_port}/{db}?{query}"

    def start(self):
        """Starts it, with what it had written, and waits until it answers."""
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD,
                                         "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", self.dir,
                                         *self.options], cwd=self.dir,
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
