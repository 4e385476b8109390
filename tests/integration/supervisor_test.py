"""Workers under who supervises them: a private supervisord, and what systemd is told through $NOTIFY_SOCKET."""
import os
import shutil
import signal
import socket
import subprocess

import support

CONFIG = """\
[unix_http_server]
file={dir}/s.sock
[supervisord]
nodaemon=true
logfile={dir}/supervisord.log
pidfile={dir}/supervisord.pid
childlogdir={dir}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{dir}/s.sock
[program:celeriac]
command={celeriac} -b {url} -A {tasks} worker -n w1@test -c 1 -l info
directory={dir}
autorestart=true
startsecs=0
stopsignal=TERM
stopwaitsecs={stopwaitsecs}
killasgroup=true
redirect_stderr=true
stdout_logfile={dir}/out.log
stdout_logfile_maxbytes=4KB
stdout_logfile_backups=2
"""


class SupervisorTest(support.Case):
    def setUp(self):
        super().setUp()
        self.program = shutil.which("supervisord")
        if not self.program:
            self.skipTest("supervisor is not installed")

    def start(self, stopwaitsecs=60):
        """Starts supervisord with a worker, and waits for that."""
        text = CONFIG.format(dir=self.dir, celeriac=self.celeriac, url=self.url.replace("%", "%%"), tasks=self.tasks,
                             stopwaitsecs=stopwaitsecs)
        self.config = self.write("supervisord.conf", text)
        server = support.Process([self.program, "-n", "-c", self.config], self.dir, self.env)
        self._processes.append(server)
        server.expect("success: celeriac entered RUNNING state")
        self.wait_for_ready(1)
        return server

    def tearDown(self):
        """supervisord ends its children when it is told to end; SIGKILL would leave them."""
        for process in self._processes:
            if process.popen.poll() is None:
                process.signal(signal.SIGTERM)
                process.wait()
        super().tearDown()

    def control(self, *words):
        done = subprocess.run(["supervisorctl", "-c", self.config, *words], cwd=self.dir, env=self.env, capture_output=True, text=True,
                              timeout=support.TIMEOUT, check=False)
        return done.stdout.strip()

    def output(self):
        """What the worker has written, in the order of rotation."""
        names = [name for name in ("out.log.2", "out.log.1", "out.log") if os.path.exists(self.path(name))]
        return "".join(self.read(name) for name in names)

    def wait_for_ready(self, times):
        support.wait_until(lambda: self.output().count(" ready.\n") >= times, f"{times} starts of the worker")

    def test_a_crash_is_answered_with_another_worker_and_nothing_is_lost(self):
        server = self.start()
        pid = int(self.control("pid", "celeriac"))
        task = self.call("test.late.gate", self.path("gate"), "done")
        self.wait_for_lines("gate.started", 1)
        os.kill(pid, signal.SIGKILL)
        server.expect("exited: celeriac \\(terminated by SIGKILL; not expected\\)")
        server.expect("success: celeriac entered RUNNING state")
        self.wait_for_lines("gate.started", 2)  # run again, by the new one
        self.write("gate", "")
        self.assertEqual(self.result(task), "done")
        self.assertNotEqual(int(self.control("pid", "celeriac")), pid)
        self.assertIn("RUNNING", self.control("status"))

    def test_a_stop_lets_running_tasks_finish_and_loses_none(self):
        server = self.start()
        running = self.call("test.gate", self.path("gate"), "done")
        self.wait_for_lines("gate.started", 1)
        waiting = [self.call("test.add", 1, n) for n in range(3)]
        server.rewind()
        stopping = support.Process(["supervisorctl", "-c", self.config, "stop", "celeriac"], self.dir, self.env)
        self._processes.append(stopping)
        support.wait_until(lambda: "Warm shutdown" in self.output(), "the worker to be told")
        self.assertIsNone(stopping.popen.poll())
        self.write("gate", "")
        self.assertEqual(stopping.wait(), 0)
        server.expect("stopped: celeriac \\(exit status 0\\)")
        self.assertEqual(self.result(running), "done")
        self.assertIn("STOPPED", self.control("status"))
        self.assertEqual(self.queue_length(), 3)
        self.control("start", "celeriac")
        self.assertEqual([self.result(task) for task in waiting], ["1", "2", "3"])

    def test_a_task_that_outlives_stopwaitsecs_comes_back(self):
        server = self.start(stopwaitsecs=1)
        task = self.call("test.late.gate", self.path("gate"), "done")
        self.wait_for_lines("gate.started", 1)
        self.control("stop", "celeriac")
        server.expect("killing 'celeriac' \\(\\d+\\) with SIGKILL")
        self.control("start", "celeriac")
        self.wait_for_lines("gate.started", 2)
        self.write("gate", "")
        self.assertEqual(self.result(task), "done")

    def test_supervisor_rotates_what_is_written_to_stdout(self):
        self.start()
        ids = [self.call("test.add", n, n) for n in range(20)]
        for task in ids:
            self.result(task)
        support.wait_until(lambda: os.path.exists(self.path("out.log.1")), "a rotated log")
        self.control("signal", "HUP", "celeriac")
        self.wait_for_ready(1)  # of those that are left by rotation
        self.assertEqual(self.result(self.call("test.add", 1, 1)), "2")


class LogTest(support.Case):
    def test_logrotate_renames_the_log_and_usr1_opens_it_anew(self):
        worker = self.worker("-c", "1", "--logfile", self.path("w.log"), "--pidfile", self.path("w.pid"), wait=False)
        support.wait_until(lambda: os.path.exists(self.path("w.log")) and " ready." in self.read("w.log"), "the worker")
        first = self.call("test.add", 1, 1)
        self.result(first)
        os.rename(self.path("w.log"), self.path("w.log.1"))
        second = self.call("test.add", 1, 2)  # between rename and signal: nothing is lost
        self.result(second)
        support.wait_until(lambda: f"{second}] succeeded" in self.read("w.log.1"), "the second task in the old file")
        worker.signal(signal.SIGUSR1)
        support.wait_until(lambda: os.path.exists(self.path("w.log")), "a new log")
        third = self.call("test.add", 1, 3)
        self.result(third)
        support.wait_until(lambda: f"{third}] succeeded" in self.read("w.log"), "the third task in the new file")
        self.assertNotIn(third, self.read("w.log.1"))
        os.rename(self.path("w.log"), self.path("w.log.2"))
        worker.signal(signal.SIGHUP)  # the same worker anew: as Celery documents it
        support.wait_until(lambda: os.path.exists(self.path("w.log")) and " ready." in self.read("w.log"), "the worker, anew")
        self.assertEqual(self.read("w.pid"), f"{worker.pid}\n")
        self.assertEqual(worker.stop(), 0)


class NotifyTest(support.Case):
    """Plays the service manager."""

    def setUp(self):
        super().setUp()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(self.path("notify"))
        self.manager.settimeout(support.TIMEOUT)
        self.env["NOTIFY_SOCKET"] = self.path("notify")

    def heard(self, *unwanted):
        """What is said next but for these."""
        while True:
            text = self.manager.recv(4096).decode()
            if text not in unwanted:
                return text

    def test_a_worker_is_ready_when_it_takes_work(self):
        self.env["WATCHDOG_USEC"] = "200000"
        worker = self.worker("-c", "1", wait=False)
        while True:
            text = self.heard("WATCHDOG=1")
            if text.startswith("READY=1"):
                break
            self.assertTrue(text.startswith("STATUS="), text)
        self.assertEqual(text, "READY=1\nSTATUS=takes work")
        for _ in range(3):
            self.assertEqual(self.heard(), "WATCHDOG=1")
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        worker.signal(signal.SIGHUP)
        self.assertTrue(self.heard("WATCHDOG=1").startswith("RELOADING=1\nMONOTONIC_USEC="))
        while not self.heard().startswith("READY=1"):
            pass
        worker.signal(signal.SIGTERM)
        self.assertEqual(self.heard("WATCHDOG=1"), "STOPPING=1")
        self.assertEqual(worker.wait(), 0)

    def test_a_worker_without_a_broker_is_not_ready(self):
        with socket.socket() as held:  # a port where nobody listens
            held.bind(("127.0.0.1", 0))
            self.url = f"redis://127.0.0.1:{held.getsockname()[1]}/0"
            worker = self.worker("-c", "1", wait=False)
            self.assertEqual(self.heard("WATCHDOG=1"), "STATUS=the broker has not been reached yet")
            for _ in range(3):  # looks later
                self.assertEqual(self.heard(), "WATCHDOG=1")
            worker.signal(signal.SIGTERM)
            self.assertEqual(self.heard("WATCHDOG=1"), "STOPPING=1")
            self.assertEqual(worker.wait(), 0)

    def test_a_dispatcher_tells_too(self):
        dispatcher = self.spawn("dispatch", "-l", "info", kind=support.Worker)
        self.assertEqual(self.heard("WATCHDOG=1"), "READY=1\nSTATUS=takes work")
        self.assertEqual(self.heard(), "WATCHDOG=1")
        dispatcher.signal(signal.SIGTERM)
        self.assertEqual(self.heard("WATCHDOG=1"), "STOPPING=1")
        self.assertEqual(dispatcher.wait(), 0)


if __name__ == "__main__":
    support.main()
