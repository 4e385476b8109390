"""Canvases for the integration tests: signatures in Celery's JSON form, and a client that sends them and waits.

    class MyTest(canvas.Case):
        def test_a_chord_ends(self):
            self.worker("-c", "2")
            client = self.client(chord([sig("test.add", i, 1) for i in range(3)], sig("test.xsum")))
            self.assertEqual(client.outcome(), {"value": 6})

Besides, no process of such a test may end with a sanitizer's report or a failed assertion.
"""
import json
import re

import support

_BROKEN = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|: runtime error: |Assertion `.*' failed")


def sig(task, *args, immutable=False, options=None, **kwargs):
    return {"task": task, "args": list(args), "kwargs": kwargs, "options": dict(options or {}), "subtask_type": None,
            "immutable": immutable}


def group(parts):
    return {**sig("celery.group"), "kwargs": {"tasks": list(parts)}, "subtask_type": "group"}


def chain(*parts):
    return {**sig("celery.chain"), "kwargs": {"tasks": list(parts)}, "subtask_type": "chain"}


def chord(header, body, **options):
    return {**sig("celery.chord", options=options), "kwargs": {"kwargs": {}, "header": group(header), "body": body},
            "subtask_type": "chord"}


class Client(support.Process):
    """A running testclient."""

    def sent(self):
        """What was sent: {"sent": id, "group": id or None, "parts": n}. Waits for it."""
        self.rewind()
        return json.loads(self.expect(r'^\{"sent":.*').group(0))

    @property
    def sent_id(self):
        return self.sent()["sent"]

    def outcome(self, timeout=support.TIMEOUT):
        """Waits for the end: {"value": ...} or {"error": ..., ...}."""
        self.wait(timeout)
        return json.loads(self.stdout[-1])


class Case(support.Case):
    def setUp(self):
        super().setUp()
        self.testclient = support.path_of("CEL_TESTCLIENT")

    def tearDown(self):
        processes = self._processes
        super().tearDown()
        for process in processes:
            self.assertIsNone(_BROKEN.search(process.text), f"{process.command}:\n{process.text}")

    def client(self, signature, *options, url=None, results=None, timeout=support.TIMEOUT):
        """Starts a client that sends the signature and waits for its result (-n: it only sends)."""
        path = self.write(f"signature-{len(self._processes)}.json", json.dumps(signature))
        command = [self.testclient, "-A", self.tasks, "-t", str(timeout), *options, url or self.url] + ([results] if results else [])
        with open(path, encoding="utf-8") as stdin:
            client = Client(command, self.dir, self.env, stdin=stdin)
        self._processes.append(client)
        return client

    # ---- the database

    def left_over(self):
        """How many messages there are, in any state, and how many claims and rows of the tables that say where one stands."""
        return self.query("SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM ready) + (SELECT count(*) FROM waiting)"
                          " + (SELECT count(*) FROM claim)")[0][0]

    def wait_until_empty(self):
        support.wait_until(lambda: self.left_over() == 0, "a database without messages")

    def documents(self):
        """The stored result documents by task id."""
        return {task_id: json.loads(document) for task_id, document in self.query("SELECT task_id, document FROM result")}

    def check_database(self):
        self.assertEqual(self.query("PRAGMA integrity_check"), [("ok",)])


def children_of(pid):
    """The pids of its children, not of theirs."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def is_alive(pid):
    """Whether the process runs: not gone, not waiting to be buried."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()[0] not in (b"Z", b"X")
    except OSError:
        return False
