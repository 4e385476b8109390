"""Remote control of workers: Python's app.control and `celery inspect, control, status` against ours, on RabbitMQ and Redis. What
both kinds of worker answer is compared: the texts, or where these differ by nature the form, member by member."""
import json
import os
import subprocess
import sys
import unittest
import uuid

import support
from support import wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

try:
    from celery import Celery
    from kombu import Exchange
except ImportError:
    Celery = None

OURS, PYTHONS = "w1@test", "py@test"

PROJECT = '''
import os, time
from celery import Celery

app = Celery("project", broker=os.environ["TEST_BROKER"], backend="disabled://")
app.conf.task_default_queue = "py"
app.conf.broker_connection_retry = False


@app.task(name="test.add", rate_limit=None)
def add(x, y):
    return x + y


@app.task(name="test.gate")
def gate(path):
    with open(path + ".started", "a") as file:
        file.write("started\\n")
    while not os.path.exists(path):
        time.sleep(0.01)
'''


def form(value):
    """The types of a value: members of objects by name, elements of lists once."""
    if isinstance(value, dict):
        return {key: form(member) for key, member in value.items()}
    if isinstance(value, list):
        return [form(value[0])] if value else []
    return type(value).__name__


class ControlCase(support.Case):
    """One server for the class; each test has its part of it, with a client of Python's."""
    part = iter(())
    holds_etas = True  # what has an ETA waits in the worker, not in the broker

    def setUp(self):
        if Celery is None:
            self.skipTest("Python's Celery is not installed (package python3-celery)")
        super().setUp()
        self.broker = self.next_url()
        self.backend = "sqlite:///" + self.db + "?synchronous=off"
        self.env["TEST_BROKER"] = self.broker
        self.write("project.py", PROJECT)
        self.app = Celery("client", broker=self.broker, backend="disabled://")
        self.app.conf.update(broker_connection_retry=False, broker_transport_options=self.transport())
        self.addCleanup(self.app.close)

    def transport(self):
        return {}

    def globals(self):
        return ["-b", self.broker, "--result-backend", self.backend, "-A", self.tasks]

    def ask(self, method, arguments=None, to=(OURS,), **options):
        """The answers by node, all that are asked for or those of a minute."""
        options.setdefault("timeout", 10)
        found = self.app.control.broadcast(method, arguments=arguments or {}, destination=list(to) if to else None,
                                           reply=True, **options)
        return {node: answer for one in found or [] for node, answer in one.items()}

    def one(self, method, **arguments):
        return self.ask(method, arguments)[OURS]

    def mailbox(self, node=OURS):
        """Waits until the node answers: its mailbox is opened soon after it is ready."""
        wait_until(lambda: self.ask("ping", to=[node], timeout=0.5), f"{node} answers")

    def start(self, *options, **rest):
        worker = self.worker("-c", "2", *options, **rest)
        self.mailbox()
        return worker

    def start_python(self):
        process = support.Process([sys.executable, "-m", "celery", "-A", "project", "worker", "-c", "1", "-l", "info", "-n", PYTHONS,
                                   "--without-gossip", "--without-mingle"], self.dir, {**self.env, "C_FORCE_ROOT": "1"})
        self._processes.append(process)
        process.expect(r" ready\.$")
        self.mailbox(PYTHONS)
        return process

    def celery(self, *words):
        """Runs Python's `celery` command."""
        return subprocess.run([sys.executable, "-m", "celery", "-b", self.broker, *words], cwd=self.dir, env=self.env, text=True,
                              capture_output=True, timeout=support.TIMEOUT, check=False)

    def raw(self, body, **options):
        """Publishes what no client would."""
        with self.app.connection_for_write() as connection:
            producer = connection.Producer()
            options.setdefault("content_type", "application/json")
            options.setdefault("content_encoding", "utf-8")
            producer.publish(body, exchange=Exchange("celery.pidbox", "fanout", durable=False), routing_key="", **options)


class Commands:
    """The tests, for each kind of server."""

    def test_answers_are_those_of_a_python_worker(self):
        self.start()
        self.start_python()
        queue = "q-" + uuid.uuid4().hex
        for method, arguments in (
                ("ping", {}),
                ("nosuch", {}),
                ("ping", {"state": 1}),
                ("report", {"x": 1}),
                ("autoscale", {"x": 1}),
                ("autoscale", {"max": 3, "min": 1}),
                ("pool_restart", {}),
                ("rate_limit", {"task_name": "test.add", "rate_limit": "10/s"}),
                ("rate_limit", {"task_name": "test.add", "rate_limit": 5}),
                ("registered", {"taskinfoitems": ["nosuch"]}),
                ("rate_limit", {"task_name": "test.add", "rate_limit": "x/s"}),
                ("rate_limit", {"task_name": "test.add", "rate_limit": 0}),
                ("rate_limit", {"task_name": "test.add", "rate_limit": ""}),
                ("rate_limit", {"task_name": "nosuch", "rate_limit": "1/s"}),
                ("rate_limit", {}),
                ("rate_limit", {"task_name": "test.add"}),
                ("time_limit", {"task_name": "test.add", "soft": 5, "hard": 10.5}),
                ("time_limit", {"task_name": "nosuch"}),
                ("time_limit", {"task_name": "test.add"}),
                ("add_consumer", {}),
                ("add_consumer", {"queue": queue, "exchange": queue, "routing_key": "key"}),
                ("cancel_consumer", {"queue": queue}),
                ("cancel_consumer", {"queue": "nosuch"}),
                ("pool_grow", {}),
                ("pool_shrink", {"n": 1}),
                ("revoke", {"task_id": "one"}),
                ("revoke", {"task_id": ["two"], "terminate": False, "signal": "SIGTERM"}),
                ("revoke", {"task_id": "three", "terminate": True, "signal": "SIGTERM"}),
                ("revoke", {"task_id": "three", "terminate": True, "signal": "SIGNOSUCH"}),
                ("revoke", {"task_id": "three", "terminate": True, "signal": "sigterm"}),
                ("terminate", {"signal": "KILL", "task_id": ["four"]}),
                ("terminate", {}),
                ("revoke", {}),
                ("active", {}), ("reserved", {}), ("scheduled", {}), ("dump_active", {}),
                ("query_task", {"ids": ["unknown"]}),
                ("query_task", {}),
                ("heartbeat", {}),
                ("hello", {})):
            with self.subTest(method, arguments=arguments):
                answers = self.ask(method, arguments, to=(OURS, PYTHONS))
                ours, pythons = answers[OURS], answers[PYTHONS]
                if method == "registered":
                    ours, pythons = "test.add" in ours, "test.add" in pythons
                self.assertEqual(ours, pythons)
        self.assertEqual(set(self.one("revoked")), {"one", "two", "three", "four"})
        self.assertEqual(self.ask("hello", {"from_node": OURS})[OURS], None)

    def test_what_is_asked_has_the_form_of_a_python_workers_answer(self):
        self.start()
        self.start_python()
        gate = self.path("gate")
        self.app.send_task("test.gate", (gate,), queue="celery")
        self.app.send_task("test.gate", (self.path("other"),), queue="py")
        self.app.send_task("test.add", (1, 2), queue="py")
        self.wait_for_lines("gate.started", 1)
        self.wait_for_lines("other.started", 1)
        both = (OURS, PYTHONS)
        self.app.send_task("test.add", (1,), {"y": 2}, countdown=600, queue="celery", priority=3)
        self.app.send_task("test.add", (1,), {"y": 2}, countdown=600, queue="py", priority=3)
        if self.holds_etas:
            wait_until(lambda: all(self.ask("scheduled", to=both).values()), "both hold what is for later")
        self.ask("revoke", {"task_id": "gone"}, to=both)
        for method, arguments in (("active", {}), ("active", {"safe": True}), ("scheduled", {}), ("clock", {}), ("report", {}),
                                  ("revoked", {}), ("active_queues", {}), ("hello", {"from_node": "x@y"}), ("memsample", {})):
            with self.subTest(method):
                answers = self.ask(method, arguments, to=both)
                if method == "scheduled" and not self.holds_etas:
                    self.assertEqual(answers[OURS], [])
                    continue
                if method == "memsample" and answers[PYTHONS] is None:  # without psutil
                    answers[PYTHONS] = "1MB"
                ours, pythons = form(answers[OURS]), form(answers[PYTHONS])
                self.assertEqual(self.loosened(ours), self.loosened(pythons))
        active = self.one("active")[0]
        self.assertEqual((active["name"], active["type"], active["args"], active["kwargs"], active["hostname"],
                          active["acknowledged"]), ("test.gate", "test.gate", [gate], {}, OURS, True))
        self.assertEqual(self.one("active", safe=True)[0]["args"], repr((gate,)))
        for scheduled in self.one("scheduled"):
            self.assertEqual((scheduled["priority"], scheduled["request"]["kwargs"]), (6, {"y": 2}))
            self.assertEqual(scheduled["request"]["time_start"], None)
            self.assertEqual(self.one("query_task", ids=scheduled["request"]["id"]),
                             {scheduled["request"]["id"]: ["reserved", scheduled["request"]]})
        self.assertEqual(self.one("query_task", ids=[active["id"]]), {active["id"]: ["active", active]})
        stats = self.ask("stats", to=both)
        ours, pythons = stats[OURS], stats[PYTHONS]
        self.assertEqual(form({**ours, "pool": 0, "total": 0, "broker": 0}), form({**pythons, "pool": 0, "total": 0, "broker": 0}))
        self.assertEqual(ours["total"], {"test.gate": 1})
        self.assertLessEqual(set(pythons["broker"]), set(ours["broker"]))
        for key in ("hostname", "port", "transport"):
            self.assertEqual(ours["broker"][key], pythons["broker"][key], key)
        for key in ("max-concurrency", "processes", "timeouts", "max-tasks-per-child", "put-guarded-by-semaphore"):
            self.assertEqual(form(ours["pool"][key]), form(pythons["pool"][key]), key)
        self.assertEqual(ours["pool"]["max-concurrency"], 2)
        conf = self.one("conf")
        self.assertEqual(conf["control_queue_ttl"] if "control_queue_ttl" in conf else None, None)
        self.assertIn("control_queue_ttl", self.one("conf", with_defaults=True))
        self.assertNotRegex(json.dumps([conf, ours, self.one("report")]), "guest:guest|hidden")
        self.assertIn("test.add", self.one("registered"))
        self.assertIn("test.add [serializer=json max_retries=3]",
                      self.one("registered", taskinfoitems=["serializer", "max_retries", "nosuch"]))
        self.assertFalse([name for name in self.one("registered") if name.startswith("celery.")])
        self.assertTrue([name for name in self.one("registered", builtins=True) if name.startswith("celery.")])
        self.write("gate", "")
        self.write("other", "")
        wait_until(lambda: not self.one("active"), "nothing runs")

    @staticmethod
    def loosened(value):
        """Members that may be null or not, whichever worker: `redelivered` on Redis."""
        for task in value if isinstance(value, list) and value and isinstance(value[0], dict) else []:
            task.get("request", task).get("delivery_info", {}).pop("redelivered", None)
        if isinstance(value, dict) and "revoked" in value:
            value["revoked"] = list(value["revoked"].values())
        return value

    def test_a_revoked_task_is_not_run(self):
        worker = self.start()
        task_id = str(uuid.uuid4())
        self.assertEqual(self.one("revoke", task_id=task_id), {"ok": f"tasks {task_id} flagged as revoked"})
        self.app.send_task("test.add", (1, 2), task_id=task_id, queue="celery")
        self.assertIn("revoked", self.failure(task_id))
        worker.expect(rf"Discarding revoked task: test\.add\[{task_id}\]")
        later = self.call("test.add", 1, 2, options=["--countdown", "1"])
        self.one("revoke", task_id=[later])
        self.assertIn("revoked", self.failure(later))
        self.assertEqual(worker.stop(), 0)

    def test_a_running_task_is_terminated(self):
        worker = self.start()
        task_id = self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        self.app.control.revoke(task_id, terminate=True, signal="SIGKILL", destination=[OURS])
        self.assertIn("terminated", self.failure(task_id))
        late = self.call("test.late.gate", self.path("late"))
        self.wait_for_lines("late.started", 1)
        self.assertEqual(self.one("terminate", task_id=late, signal="SIGTERM"), {"ok": f"terminate: {late}"})
        self.assertIn("terminated", self.failure(late))
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")  # the pool is whole again
        self.assertEqual(worker.stop(), 0)

    def test_stamped_tasks_are_revoked(self):
        self.start()
        self.assertEqual(self.one("revoke_by_stamped_headers", headers={"tenant": "acme"}),
                         {"ok": "headers {'tenant': 'acme'} flagged as revoked, but not terminated"})
        headers = {"stamped_headers": ["tenant"], "stamps": {"tenant": ["acme"]}}
        task_id = self.app.send_task("test.add", (1, 2), headers=headers, queue="celery").id
        self.assertIn("revoked", self.failure(task_id))
        headers["stamps"] = {"tenant": ["other"]}
        self.assertEqual(self.result(self.app.send_task("test.add", (1, 2), headers=headers, queue="celery").id), "3")
        headers["stamps"] = {"tenant": "third"}
        running = self.app.send_task("test.gate", (self.path("gate"),), headers=headers, queue="celery").id
        self.wait_for_lines("gate.started", 1)
        self.assertEqual(self.one("revoke_by_stamped_headers", headers=["tenant=third"], terminate=True, signal="SIGKILL"),
                         {"ok": "headers {'tenant': 'third'} revoked"})
        self.assertIn("terminated", self.failure(running))

    def test_revoked_ids_survive_a_restart(self):
        worker = self.start("--statedb", "%n.state")
        task_id = str(uuid.uuid4())
        self.one("revoke", task_id=task_id)
        self.assertEqual(worker.stop(), 0)
        worker = self.start("--statedb", "%n.state")
        self.assertEqual(self.one("revoked"), [task_id])
        other = str(uuid.uuid4())
        self.one("revoke", task_id=other)
        wait_until(lambda: other in self.read("w1.state"), "the file is written while the worker runs")
        worker.kill()
        self.start("--statedb", "%n.state")
        self.assertEqual(self.one("revoked"), [task_id, other])

    def test_queues_come_and_go(self):
        worker = self.start()
        name = "q-" + uuid.uuid4().hex
        waiting = self.call("test.add", 1, 2, options=["--queue", name])
        self.assertEqual(self.one("add_consumer", queue=name), {"ok": f"add consumer {name}"})
        self.assertEqual(self.result(waiting), "3")
        self.assertEqual([queue["name"] for queue in self.one("active_queues")], ["celery", name])
        self.one("cancel_consumer", queue=name)
        self.one("cancel_consumer", queue="celery")
        self.assertEqual(self.one("active_queues"), [])
        stays = self.call("test.add", 3, 4, options=["--queue", "celery"])
        self.one("add_consumer", queue="celery")
        self.assertEqual(self.result(stays), "7")
        self.assertEqual(worker.stop(), 0)

    def test_the_pool_grows_and_shrinks(self):
        self.start()
        self.assertEqual(self.one("pool_grow", n=2), {"ok": "pool will grow"})
        paths = [self.path(f"gate{i}") for i in range(4)]
        for path in paths:
            self.call("test.gate", path)
        for i in range(4):
            self.wait_for_lines(f"gate{i}.started", 1)
        self.assertEqual(len(self.one("active")), 4)
        self.assertEqual(self.one("pool_shrink", n=3), {"ok": "pool will shrink"})
        self.assertEqual(self.one("stats")["pool"]["max-concurrency"], 1)
        self.assertIn("ValueError", self.one("pool_shrink", n=1)["error"])
        for path in paths:
            self.write(path, "")
        wait_until(lambda: len(self.one("stats")["pool"]["processes"]) == 1, "one process is left")

    def test_limits_change_what_runs_next(self):
        self.start()
        self.one("time_limit", task_name="test.sleep", hard=0.3)
        self.assertIn("TimeLimitExceeded", self.failure(self.call("test.sleep", 600)))
        self.one("rate_limit", task_name="test.add", rate_limit="1/h")
        ids = [self.call("test.add", i, 1) for i in range(3)]
        wait_until(lambda: len(self.one("reserved")) == 2, "two wait for their turn")
        self.one("rate_limit", task_name="test.add", rate_limit=0)
        self.assertEqual([self.result(task_id) for task_id in ids], ["1", "2", "3"])

    def test_only_those_who_are_meant_answer(self):
        self.start()
        self.worker("-c", "1", name="w2@test")
        self.mailbox("w2@test")
        self.assertEqual(set(self.ask("ping", to=None, limit=2)), {OURS, "w2@test"})
        self.assertEqual(set(self.ask("ping", to=["w2@test"])), {"w2@test"})
        self.assertEqual(set(self.ask("ping", to=None, limit=1, pattern="w2@*", matcher="glob")), {"w2@test"})
        self.assertEqual(set(self.ask("ping", to=None, limit=2, pattern=r"w\d@te", matcher="pcre")), {OURS, "w2@test"})
        self.assertEqual(self.ask("ping", to=["nobody@test"], timeout=0.5), {})

    def test_the_celery_command_speaks_to_it(self):
        self.start()
        done = self.celery("inspect", "ping", "-d", OURS, "--timeout", "30", "--json")
        self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {OURS: {"ok": "pong"}}), done.stderr)
        done = self.celery("inspect", "registered", "-d", OURS, "--timeout", "30")
        self.assertIn("* test.add", done.stdout, done.stderr)
        done = self.celery("control", "rate_limit", "-d", OURS, "--timeout", "30", "test.add", "10/m")
        self.assertIn("new rate limit set successfully", done.stdout, done.stderr)
        done = self.celery("status", "-d", OURS, "--timeout", "30")
        self.assertRegex(done.stdout, rf"{OURS}: .*OK")
        self.assertIn("1 node online.", done.stdout)

    def test_shutdown_is_warm(self):
        worker = self.start()
        task_id = self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        self.app.control.shutdown(destination=[OURS])
        worker.expect("Got shutdown from remote")
        self.write("gate", "")
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(self.result(task_id), "open")

    def test_hostile_messages_do_no_harm(self):
        worker = self.start()
        request = {"method": "ping", "arguments": {}, "destination": None, "ticket": "t",
                   "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "nobody"}}
        for body in ("", "{", "[]", "null", '"ping"', "{}", '{"method": 1}', '{"method": "ping", "reply_to": 5}',
                     '{"method": "ping", "pattern": "(", "matcher": "pcre"}', '{"method": "ping", "pattern": "x", "matcher": "sql"}',
                     '{"method": "ping", "destination": 5}', '{"method": "revoke", "arguments": [1]}',
                     '{"method": "revoke", "arguments": {"task_id": {"a": 1}, "terminate": true, "signal": []}}',
                     '{"method": "revoke_by_stamped_headers", "arguments": {"headers": 5}}',
                     '{"method": "time_limit", "arguments": {"task_name": "test.add", "hard": "x"}}',
                     '{"method": "pool_grow", "arguments": {"n": 1000000000}}', '{"method": "pool_grow", "arguments": {"n": "x"}}',
                     '{"method": "hello", "arguments": {"from_node": {}, "revoked": {"a": [], "b": "x", "c": null}}}',
                     '{"method": "add_consumer", "arguments": {"queue": ""}}',
                     '{"method": "query_task", "arguments": {"ids": {"a": 1}}}', '{"method": "\\ud800"}',
                     '{"method": "ping", "arguments": ' + "[" * 100000, '{"method": "ping", "arguments": {"n": ' + "1" * 400 + "}}",
                     json.dumps({**request, "reply_to": {"exchange": "no.such.exchange", "routing_key": "x"}}),
                     json.dumps({**request, "reply_to": {"exchange": "amq.nosuch", "routing_key": "x"}}),
                     json.dumps({**request, "reply_to": {"exchange": "", "routing_key": "no.such.queue"}}),
                     json.dumps({**request, "reply_to": {"exchange": "x" * 300, "routing_key": "x"}}),
                     json.dumps(request), json.dumps({**request, "method": "nosuch"}), "x" * 9000000):
            self.raw(body)
        self.raw(b"{}", content_type="application/x-python-serialize", content_encoding="binary")
        self.raw("\xff\xfe".encode("latin-1"), content_encoding="binary")
        self.raw(json.dumps(request), headers={"clock": "x", "expires": -1})
        self.raw(json.dumps(request), headers={"clock": 2 ** 63 - 1})
        self.assertEqual(self.one("ping"), {"ok": "pong"})
        self.assertLess(self.one("clock")["clock"], 10 ** 6)
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        self.assertNotRegex(worker.text, "CRITICAL|Sanitizer")
        self.assertEqual(worker.stop(), 0)

    def test_it_can_be_switched_off(self):
        self.worker("worker_enable_remote_control=False")
        self.worker("-c", "1", name="w2@test")
        self.mailbox("w2@test")
        self.assertEqual(self.ask("ping", to=None, limit=2, timeout=0.5), {"w2@test": {"ok": "pong"}})


class AmqpControlTest(Commands, ControlCase):
    hosts = iter(range(40))

    @classmethod
    def setUpClass(cls):
        try:
            cls.server = rabbitmq.Server()
        except rabbitmq.Missing as missing:
            raise unittest.SkipTest(str(missing)) from None
        cls.addClassCleanup(cls.server.close)

    def next_url(self):
        return self.server.url(f"t{next(self.hosts)}")

    def test_a_second_worker_of_the_same_name_gets_no_mailbox(self):
        first = self.start()
        second = self.worker("-c", "1")
        second.expect("A node named w1@test is already using this process mailbox!")
        self.assertEqual(self.one("stats")["pid"], first.pid)
        self.assertEqual(first.stop(), 0)
        wait_until(lambda: self.ask("ping", timeout=0.5), "the other has it now")
        self.assertEqual(self.one("stats")["pid"], second.pid)


class RedisControlTest(Commands, ControlCase):
    holds_etas = False
    databases = iter(range(1, 16))

    @classmethod
    def setUpClass(cls):
        try:
            cls.server = redisserver.Server()
        except redisserver.Missing as missing:
            raise unittest.SkipTest(str(missing)) from None
        cls.addClassCleanup(cls.server.close)

    def next_url(self):
        return self.server.url(next(self.databases))


if __name__ == "__main__":
    support.main()
