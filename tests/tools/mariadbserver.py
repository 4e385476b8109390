"""A private MariaDB server for tests: own folder, socket and port, gone when it is over.

    with mariadbserver.Server() as server:    server.port, server.url("table"), server.sql("SELECT 1"), server.kill(), server.start()

It has the database "game" and the user chat:PASSWORD, who may do everything there and nothing elsewhere.
"""
import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

PASSWORD = "p@ss/w:rd"
DATABASE = "game"


class Missing(Exception):
    """There is no MariaDB here."""


def program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{name} is not installed (package {'openssl' if name == 'openssl' else 'mariadb-server'})")
    return path


class Server:
    def __init__(self):
        self.process = None
        self.mariadbd, self.client, install = program("mariadbd"), program("mariadb"), program("mariadb-install-db")
        self.dir = tempfile.mkdtemp(prefix="celeriac-mariadb-")
        atexit.register(self.close)  # should the test be interrupted
        self.socket = os.path.join(self.dir, "s")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        try:
            # Users are made by hand below, with the server's tables of users as they are installed.
            self._run([install, "--no-defaults", *self._user(), f"--datadir={self.dir}/data", "--auth-root-authentication-method=normal",
                       "--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=4M"])
            self._make_certificate()
            self.start()
            self.sql(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4; CREATE USER chat@'%' IDENTIFIED BY '{PASSWORD}';"
                     f"GRANT ALL ON {DATABASE}.* TO chat@'%'", database="mysql")
        except BaseException:
            self.close()
            raise

    def _make_certificate(self):
        """One that is its own authority, good for 127.0.0.1; the server takes TLS with it."""
        self.ca = os.path.join(self.dir, "ca.pem")
        self._run([program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                   "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", os.path.join(self.dir, "key.pem"),
                   "-out", self.ca])

    @staticmethod
    def _user():
        # As root it would refuse to run without being told so.
        return [f"--user={pwd.getpwuid(os.getuid()).pw_name}"]

    @staticmethod
    def _run(command):
        done = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, wait=True):
        """Starts it, with the data it had, and waits until it answers."""
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [self.mariadbd, "--no-defaults", *self._user(), f"--datadir={self.dir}/data", f"--socket={self.socket}",
                 f"--port={self.port}", "--bind-address=127.0.0.1", f"--pid-file={self.dir}/pid", "--skip-name-resolve", "--skip-log-bin",
                 "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=2", "--key-buffer-size=1M",
                 "--aria-pagecache-buffer-size=1M", f"--ssl-cert={self.ca}", f"--ssl-key={self.dir}/key.pem", "--performance-schema=OFF"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait()

    def wait(self):
        deadline = time.monotonic() + 60
        while self.sql("SELECT 1", database="", check=False) != "1":
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as log:
                    raise RuntimeError("MariaDB did not start:\n" + log.read()[-2000:])
            time.sleep(0.05)  # the step of a look

    def url(self, table="chat", user="chat", password=PASSWORD, database=DATABASE, **params):
        quoted = [urllib.parse.quote(word, safe="") for word in (user, password, database, table)]
        query = "?" + urllib.parse.urlencode(params) if params else ""
        return "mysql://{}:{}@127.0.0.1:{}/{}/{}{}".format(*quoted[:2], self.port, *quoted[2:], query)

    def sql(self, text, database=DATABASE, check=True):
        """Runs SQL as root; returns the output without the last newline."""
        done = subprocess.run([self.client, "--no-defaults", f"--socket={self.socket}", "--user=root", "--default-character-set=utf8mb4",
                               "--batch", "--skip-column-names", database], input=text, text=True, encoding="utf-8",
                              capture_output=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{text}: {done.stderr}")
        return done.stdout.rstrip("\n")

    def send(self, number):
        self.process.send_signal(number)

    def kill(self, number=signal.SIGKILL):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
