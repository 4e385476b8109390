#!/usr/bin/python3
"""A private RabbitMQ server for tests: own folder, ports, epmd and cookie, gone when it is over.

    rabbitmq.py run [--] COMMAND...    starts one, runs the command with RABBITMQ_TEST_PORT and RABBITMQ_TEST_PID_FILE
                                       in its environment, ends the server. Should the server die meanwhile (the command
                                       may kill it by the pid in that file), it is started again on the same port.

    with rabbitmq.Server() as server:  the same for Python: server.port, server.url("vhost"), server.kill(), server.start()

It has the users guest:guest and "us er":"p@ss/word" with all rights, nobody:nobody without any, and the virtual
hosts /, "a/b", dispatch_server_host and t0 to t39. Where RabbitMQ is not installed the exit status is 77, which meson takes for a skip.
"""
import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HOME = "/usr/lib/rabbitmq/bin"
SERVER = os.path.join(HOME, "rabbitmq-server")
VHOSTS = ["/", "a/b", "dispatch_server_host"] + [f"t{i}" for i in range(40)]
BOOT_SECONDS = 120
SKIPPED = 77


class Missing(Exception):
    """There is no RabbitMQ here."""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def definitions():
    def user(name, password, tags=""):
        return {"name": name, "password": password, "tags": tags}
    everyone = [{"user": name, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
                for vhost in VHOSTS for name in ("guest", "root", "us er")]
    limited = [{"user": "limited", "vhost": "/", "configure": "^mine", "write": ".*", "read": "^mine"}]
    return {"users": [user("guest", "guest", "administrator"), user("root", "root"), user("us er", "p@ss/word"),
                      user("nobody", "nobody"), user("limited", "limited")],
            "vhosts": [{"name": name} for name in VHOSTS], "permissions": everyone + limited}


class Server:
    def __init__(self, machine="+S 1:1 +sbwt none"):
        """`machine`: arguments of the Erlang machine; by default it takes one core and does not spin."""
        if not os.path.exists(SERVER):
            raise Missing("RabbitMQ is not installed (package rabbitmq-server)")
        self.dir = tempfile.mkdtemp(prefix="celeriac-rabbit-")
        atexit.register(self.close)  # should the test be interrupted
        self.port, dist, epmd = free_ports(3)
        self.process = self.epmd = None
        self.pid_file = self.path("pid")
        self._write("definitions.json", json.dumps(definitions()))
        self._write("rabbitmq.conf", f"load_definitions = {self.path('definitions.json')}\nloopback_users = none\n"
                                     "log.console = false\nlog.file.level = info\nvm_memory_high_watermark.relative = 0.8\n"
                                     "disk_free_limit.absolute = 1MB\n")
        self._write("enabled_plugins", "[].\n")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        self.env.update(
            HOME=self.dir, ERL_EPMD_PORT=str(epmd), ERL_EPMD_ADDRESS="127.0.0.1", RABBITMQ_DIST_PORT=str(dist),
            RABBITMQ_NODENAME=f"t{self.port}@localhost", RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port), RABBITMQ_MNESIA_BASE=self.path("mnesia"),
            RABBITMQ_LOG_BASE=self.path("log"), RABBITMQ_CONFIG_FILE=self.path("rabbitmq.conf"),
            RABBITMQ_CONF_ENV_FILE=self.path("none"), RABBITMQ_ENABLED_PLUGINS_FILE=self.path("enabled_plugins"),
            RABBITMQ_PID_FILE=self.path("rabbit.pid"), RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=machine)
        try:
            self.epmd = subprocess.Popen(["epmd", "-port", str(epmd)], env=self.env, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.start()
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.dir, name)

    def _write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        """Starts it and waits until it takes connections."""
        with open(self.path("output"), "ab") as output:
            self.process = subprocess.Popen([SERVER], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=output, start_new_session=True)
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ did not start:\n{self.output()}")
            time.sleep(0.05)  # the step of a look
        self._write("pid.new", f"{self.process.pid}\n")
        os.rename(self.path("pid.new"), self.pid_file)

    def _answers(self):
        """Whether the first frame, connection.start, comes: the port opens when all else is ready."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
                sock.sendall(b"AMQP\0\0\x09\x01")
                return sock.recv(1) == b"\x01"
        except OSError:
            return False

    def output(self):
        with open(self.path("output"), encoding="utf-8", errors="replace") as file:
            return file.read()[-4000:]

    def url(self, vhost="%2F", login="guest:guest"):
        return f"amqp://{login}@127.0.0.1:{self.port}/{vhost}"

    def kill(self, number=signal.SIGKILL):
        """Ends the server and all it has started, which is one process group."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        self.process.wait()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # the helpers of the Erlang machine
        except ProcessLookupError:
            pass

    def ctl(self, *words):
        """Runs rabbitmqctl; returns its output."""
        done = subprocess.run([os.path.join(HOME, "rabbitmqctl"), "-q", *words], env=self.env, cwd=self.dir,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    def close(self):
        self.kill()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def run(command):
    with Server() as server:
        env = dict(os.environ, RABBITMQ_TEST_PORT=str(server.port), RABBITMQ_TEST_PID_FILE=server.pid_file)
        child = subprocess.Popen(command, env=env)
        try:
            while child.poll() is None:
                if server.process.poll() is not None:
                    server.kill()
                    server.start()
                time.sleep(0.05)  # the step of a look
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        return child.returncode if child.returncode >= 0 else 128 - child.returncode


def main():
    words = sys.argv[1:]
    if len(words) < 2 or words[0] != "run":
        print(__doc__)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is ended, too
    words = words[2:] if words[1] == "--" else words[1:]
    try:
        return run(words)
    except Missing as missing:
        print(f"SKIP: {missing}")
        return SKIPPED


if __name__ == "__main__":
    sys.exit(main())
