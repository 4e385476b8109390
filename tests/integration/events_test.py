"""Events: a worker of ours says the same as one of Python's that runs the same tasks, on RabbitMQ and on Redis.

Who listens is Python's Celery: app.events.Receiver and celery.events.state.State, which Flower is built on.
"""
import io
import json
import os
import re
import sqlite3
import sys
import threading
import traceback
import unittest

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

try:
    import celery
    from celery.events.dumper import Dumper
    from celery.events.state import State
except ImportError:
    celery = None

SERVERS = {}

PROJECT = '''
import os
from celery import Celery

app = Celery("project", broker=os.environ["TEST_BROKER"], backend="disabled://")


@app.task(name="test.add")
def add(x, y):
    return x + y


@app.task(name="test.fail")
def fail(message="boom", type="ValueError"):
    raise ValueError(message)


@app.task(name="test.retry", bind=True, max_retries=None)
def retry(self, times, countdown=0):
    if self.request.retries < times:
        raise self.retry(exc=Exception("not yet"), countdown=countdown)
    return self.request.retries
'''


def server(kind):
    """Each is started when it is first asked for, or is missing for all."""
    module = rabbitmq if kind == "amqp" else redisserver
    if kind not in SERVERS:
        try:
            SERVERS[kind] = module.Server()
        except module.Missing as missing:
            SERVERS[kind] = missing
    if isinstance(SERVERS[kind], module.Missing):
        raise unittest.SkipTest(str(SERVERS[kind]))
    return SERVERS[kind]


def tearDownModule():
    for one in SERVERS.values():
        if hasattr(one, "close"):
            one.close()


class Listener:
    """Python's receiver, in a thread: `events` has what it has heard."""

    def __init__(self, app):
        self.events, self.app = [], app
        self.state = State()
        self.failure = None
        self._ready, self._end, self._receiver = threading.Event(), False, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        if not self._ready.wait(support.TIMEOUT):
            raise AssertionError(f"the receiver does not begin: {self.failure}")

    def _heard(self, event):
        self.state.event(dict(event))
        self.events.append(event)

    def _run(self):
        try:
            with self.app.connection_for_read() as connection:
                receiver = self.app.events.Receiver(connection, handlers={"*": self._heard})
                begin = receiver.on_consume_ready

                def ready(*args, **kwargs):
                    begin(*args, **{**kwargs, "wakeup": False})
                    self._ready.set()
                receiver.on_consume_ready = ready
                self._receiver = receiver
                for _ in receiver.consume(limit=None, timeout=None, wakeup=False, safety_interval=0.1):
                    pass
        except Exception as problem:  # pylint: disable=broad-except
            self.failure = problem  # told by whoever waits
            if not self._end:
                traceback.print_exc()

    def of(self, task_id):
        return [event for event in list(self.events) if event.get("uuid") == task_id]

    def wait(self, task_id, kind, count=1):
        support.wait_until(lambda: sum(event["type"] == kind for event in self.of(task_id)) >= count,
                           f"{count} {kind} of {task_id}; heard: {[e['type'] for e in self.events]}")

    def wait_type(self, kind):
        return support.wait_until(lambda: next((e for e in list(self.events) if e["type"] == kind), None), f"a {kind}")

    def close(self):
        self._end = self._receiver.should_stop = True
        self._thread.join(support.TIMEOUT)


# What differs from run to run, and how the workers call themselves.
PASSING = {"timestamp", "parent_id", "local_received", "clock", "pid", "uuid", "root_id", "runtime", "loadavg", "sw_ident", "sw_ver", "active"}


def comparable(events):
    def one(event):
        shown = {key: value for key, value in event.items() if key not in PASSING}
        if "traceback" in shown:
            shown["traceback"] = str(shown["traceback"])[:34]  # "Traceback (most recent call last):"
        if "expires" in shown and shown["expires"]:
            shown["expires"] = "some time"
        return shown
    # Whether the next try is received before it is told that there will be one is nobody's promise.
    return sorted((one(event) for event in events), key=lambda event: (event["type"], event.get("retries", 0)))


class EventsCase:
    def setUp(self):
        super().setUp()
        if celery is None:
            self.skipTest("Python's Celery is not installed (package python3-celery)")
        self.broker = self.make_broker()
        self.app = celery.Celery("test", broker=self.broker, set_as_current=False)
        self.app.conf.task_always_eager = False
        self.write("project.py", PROJECT)
        self.env.update(TEST_BROKER=self.broker, PYTHONDONTWRITEBYTECODE="1", C_FORCE_ROOT="1")

    def tearDown(self):
        self.app.close()
        super().tearDown()

    def globals(self):
        return ["-b", self.broker, "--result-backend", self.url] + (["-A", self.tasks] if self.module else [])

    def python_worker(self, *options):
        process = support.Process([sys.executable, "-m", "celery", "-A", "project", "worker", "-c", "1", "-l", "info", "-n", "w1@test",
                                   "--without-gossip", "--without-mingle", *options], self.dir, self.env)
        self._processes.append(process)
        process.expect(r" ready\.$")
        return process

    def run_job(self, listener):
        """One of each kind; returns what was said of each."""
        def send(name, *args, **options):
            return self.app.send_task(name, args, **options).id
        ids = {"success": send("test.add", 2, 3), "failure": send("test.fail", "b\u00f6om"), "retry": send("test.retry", 1),
               "expired": send("test.add", 1, 1, headers={"expires": "2020-01-01T00:00:00+00:00"})}
        listener.wait(ids["success"], "task-succeeded")
        listener.wait(ids["failure"], "task-failed")
        listener.wait(ids["retry"], "task-succeeded")
        listener.wait(ids["retry"], "task-retried")
        listener.wait(ids["expired"], "task-revoked")
        return {kind: listener.of(task_id) for kind, task_id in ids.items()}

    def stream(self, start):
        listener = Listener(self.app)
        try:
            worker = start()
            said = self.run_job(listener)
            listener.wait_type("worker-heartbeat")
            worker.signal(15)
            self.assertEqual(worker.wait(), 0, worker.text)
            listener.wait_type("worker-offline")
        finally:
            listener.close()
        return said, listener

    def test_we_say_what_pythons_worker_says(self):
        theirs, _ = self.stream(lambda: self.python_worker("-E"))
        ours, listener = self.stream(lambda: self.worker("-c", "1", "-E", "-P", "prefork"))
        for kind, events in theirs.items():
            self.assertEqual(comparable(ours[kind]), comparable(events), kind)
        clocks = [event["clock"] for event in listener.events if event["type"] != "worker-heartbeat"]
        self.assertEqual(clocks, sorted(clocks))
        self.check_state(listener, ours)

    def check_state(self, listener, ours):
        """What Flower shows."""
        state, worker = listener.state, listener.state.workers["w1@test"]
        self.assertEqual(state.task_count, 4)
        self.assertFalse(worker.alive)  # it has said that it goes
        self.assertGreaterEqual(len(worker.heartbeats), 0)
        self.assertEqual((worker.freq, worker.sw_ident, worker.sw_sys), (2.0, "celeriac", "Linux"))
        task = state.tasks[ours["success"][0]["uuid"]]
        self.assertEqual((task.name, task.args, task.kwargs, task.state, task.result, task.worker.hostname),
                         ("test.add", "(2, 3)", "{}", "SUCCESS", "5", "w1@test"))
        self.assertGreaterEqual(task.runtime, 0)
        self.assertEqual(state.tasks[ours["failure"][0]["uuid"]].exception, "ValueError('b\u00f6om')")
        self.assertEqual({state.tasks[events[0]["uuid"]].state for events in ours.values()}, {"SUCCESS", "FAILURE", "REVOKED"})

    def dumped_as_python_dumps(self, start):
        """Lines and JSON of the same events: the lines are those that Python's dumper makes of the JSON."""
        lines, objects = self.listen_ourselves()
        worker = start()
        self.app.send_task("test.fail", ("\u00f6 'x'",))
        ids = [self.app.send_task("test.add", (1, 41)).id]
        for listener in (lines, objects):
            listener.expect(rf"task.succeeded.*{ids[0]}" if listener is lines else rf"{ids[0]}.*task-succeeded")
            listener.expect(r"worker-heartbeat" if listener is objects else r" heartbeat: active=")
        worker.signal(15)
        self.assertEqual(worker.wait(), 0, worker.text)
        self.assertEqual(self.compare_dump(lines, objects), {"task-received", "task-started", "task-succeeded", "worker-offline"})

    def listen_ourselves(self):
        """Until both hear: whoever has just begun has missed what was said before."""
        lines, objects = self.spawn("events", "--dump"), self.spawn("events", "--json")
        lines.expect(r"^-> evdump: starting capture\.\.\.$")
        with self.app.connection_for_write() as connection:
            dispatcher = self.app.events.Dispatcher(connection, hostname="probe@test")

            def heard():
                dispatcher.send("custom-probe")
                return "custom probe" in lines.text and "custom-probe" in objects.text
            support.wait_until(heard, "a probe")
        return lines, objects

    def compare_dump(self, lines, objects):
        for listener, last in ((lines, r" shutdown: "), (objects, r"worker-offline")):
            listener.expect(last)
            listener.signal(15)
            self.assertEqual(listener.wait(), 0, listener.text)
        out, kinds = io.StringIO(), set()
        dumper = Dumper(out=out)
        for line in objects.stdout:
            event = json.loads(line)
            if event["type"] in ("task-received", "task-started", "task-succeeded", "worker-offline"):  # those of one line
                kinds.add(event["type"])
                dumper.on_event(event)

        def shown(text):
            return [re.sub(r"local_received=[0-9.]+", "", line) for line in text]
        ours = [line for line in shown(lines.stdout) if re.search(r"\] (task (received|started|succeeded)|shutdown): ", line)]
        self.assertEqual(ours, shown(out.getvalue().splitlines()))
        return kinds

    def test_events_are_dumped_as_python_dumps_them(self):
        self.dumped_as_python_dumps(lambda: self.python_worker("-E"))
        self.dumped_as_python_dumps(lambda: self.worker("-c", "1", "-E"))

    def test_a_client_says_what_it_has_sent(self):
        self.write("celeryconfig.py", "task_send_sent_event = True\n")
        listener = Listener(self.app)
        try:
            ours = self.good("call", "test.add", "--args", "[2, 3]", env={"CONFIG_MODULE": self.path("celeryconfig.py")}).strip()
            self.app.conf.task_send_sent_event = True
            theirs = self.app.send_task("test.add", (2, 3)).id
            for task_id in (ours, theirs):
                listener.wait(task_id, "task-sent")
        finally:
            listener.close()
        self.assertEqual(*([{key: value for key, value in event.items() if key not in PASSING | {"hostname"}}
                            for event in listener.of(task_id)] for task_id in (ours, theirs)))
        self.assertRegex(listener.of(ours)[0]["hostname"], r"^gen\d+@")

    def test_without_E_a_worker_speaks_of_itself_alone(self):
        listener = Listener(self.app)
        try:
            worker = self.worker("-c", "1", "--heartbeat-interval", "0.2")
            online = listener.wait_type("worker-online")
            self.app.send_task("test.add", (1, 1))
            worker.expect(r"succeeded in ")
            support.wait_until(lambda: next((e for e in list(listener.events) if e.get("processed") == 1), None),
                               "a heartbeat that counts the task")
            self.assertEqual(online["freq"], 0.2)
            self.assertTrue(listener.state.workers["w1@test"].alive)
            self.assertEqual(worker.stop(), 0)
            listener.wait_type("worker-offline")
        finally:
            listener.close()
        self.assertEqual({event["type"] for event in listener.events}, {"worker-online", "worker-heartbeat", "worker-offline"})

    def test_without_heartbeat_it_speaks_of_its_tasks_alone(self):
        listener = Listener(self.app)
        try:
            worker = self.worker("-c", "1", "-E", "--without-heartbeat")
            task_id = self.app.send_task("test.add", (1, 1)).id
            listener.wait(task_id, "task-succeeded")
            self.assertEqual(worker.stop(), 0)
        finally:
            listener.close()
        self.assertEqual([event["type"] for event in listener.events], ["task-received", "task-started", "task-succeeded"])

    def test_a_killed_task_and_an_unknown_one_have_failed(self):
        listener = Listener(self.app)
        try:
            self.worker("-c", "1", "-E")
            killed = self.app.send_task("test.exit", (3,)).id
            unknown = self.app.send_task("no.such.task").id
            rejected = self.app.send_task("test.reject").id
            listener.wait(killed, "task-failed")
            listener.wait(unknown, "task-failed")
            listener.wait(rejected, "task-rejected")
        finally:
            listener.close()
        self.assertRegex(listener.of(killed)[-1]["exception"], r"^WorkerLostError\(")
        said = listener.of(unknown)
        self.assertEqual([event["type"] for event in said], ["task-failed"])
        self.assertEqual(said[0]["exception"], "NotRegistered('no.such.task')")
        self.assertNotIn("traceback", said[0])
        self.assertEqual([event["type"] for event in listener.of(rejected)], ["task-received", "task-started", "task-rejected"])


class AmqpTest(EventsCase, support.Case):
    hosts = iter(range(40))

    def make_broker(self):
        return server("amqp").url(f"t{next(AmqpTest.hosts)}")

    def test_an_outage_holds_up_no_task_and_events_come_after_it(self):
        worker = self.worker("-c", "1", "-E")
        gate, done = self.path("gate"), self.path("done")
        running = self.app.send_task("test.gate", (gate, 1)).id
        self.wait_for_lines("gate.started", 1)
        server("amqp").kill()
        worker.expect(r"the broker is out of reach")
        self.write("gate", "")
        worker.expect(rf"test\.gate\[{running}\] succeeded in ")  # it ended, and nobody could be told
        server("amqp").start()
        worker.expect(r"the broker is reachable again")
        listener = Listener(self.app)
        try:
            listener.wait_type("worker-heartbeat")
            listener.wait(self.app.send_task("test.append", (done, "x")).id, "task-succeeded")
        finally:
            listener.close()
        self.assertEqual(worker.stop(), 0)


class RedisTest(EventsCase, support.Case):
    dbs = iter(range(1, 16))

    def make_broker(self):
        return server("redis").url(next(RedisTest.dbs))


class EmbeddedTest(support.Case):
    def test_who_listens_hears_and_leaves_nothing_behind(self):
        listener = self.spawn("events")
        def listens():
            try:
                return self.query("SELECT count(*) FROM listening")[0][0]
            except sqlite3.OperationalError:  # it is just being made
                return 0
        support.wait_until(listens, "a listener")
        worker = self.worker("-c", "1", "-E")
        task_id = self.call("test.add", 2, 3)
        listener.expect(r"^w1@test \[.*\] started: active=0, ")
        listener.expect(rf"task received: test\.add\({task_id}\) args=\(2, 3\) kwargs={{}} clock=")
        listener.expect(rf"task succeeded: test\.add\({task_id}\) .* result=5, ")
        self.assertEqual(worker.stop(), 0)
        listener.expect(r"shutdown: ")
        listener.signal(15)
        self.assertEqual(listener.wait(), 0)
        self.assertEqual(self.query("SELECT count(*) FROM message"), [(0,)])
        self.assertEqual(self.query("SELECT count(*) FROM listening"), [(0,)])

    def test_a_file_does_not_grow_by_what_nobody_reads(self):
        worker = self.worker("-c", "1", "-E", "--heartbeat-interval", "0.05")
        for n in range(3):
            self.assertEqual(self.result(self.call("test.add", n, 1)), str(n + 1))
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.query("SELECT count(*) FROM message"), [(0,)])
        self.assertEqual(self.query("SELECT count(*) FROM listening"), [(0,)])
        highest = self.query("SELECT seq FROM sqlite_sequence WHERE name='message'")
        self.assertEqual(highest, [(3,)])  # three tasks, and nothing else was ever written


if __name__ == "__main__":
    support.main()
