"""Messages that Python's Celery has made, run by the worker, and results of the worker, read by Python's Celery.

Celery has no transport for the embedded broker. So its messages are put into the file as they are (those recorded in tests/vectors,
and those of the Celery that is installed), and its AsyncResult reads the documents through a small backend of the test's.
"""
import json
import math
import os
import sqlite3
import time
import unittest

import canvas
import support

try:
    import celery
    import celery.exceptions
    from celery.backends.base import KeyValueStoreBackend
    from kombu.transport.virtual import Channel
except ImportError:
    celery = None

    class KeyValueStoreBackend:
        pass


class FileBackend(KeyValueStoreBackend):
    """Celery's result backend on the table `result`. Its keys are bytes, as its get() expects of any store."""

    path = None

    def connect(self):
        return sqlite3.connect(self.path, timeout=support.TIMEOUT)

    def get(self, key):
        key = key.decode() if isinstance(key, bytes) else key
        prefix = self.task_keyprefix.decode()
        connection = self.connect()
        try:
            found = connection.execute("SELECT document FROM result WHERE task_id=?", (key[len(prefix):],)).fetchone()
        finally:
            connection.close()
        return found[0] if found and key.startswith(prefix) else None

    def mget(self, keys):
        return [self.get(key) for key in keys]

    def apply_chord(self, header_result_args, body, **kwargs):
        """What Celery's backends do in their ways: say how many parts there are."""
        connection = self.connect()
        with connection:
            connection.execute("INSERT INTO chord(gid, expires_ms, size) VALUES(?, ?, ?)",
                               (header_result_args[0], int(time.time() * 1000) + 3600000, len(header_result_args[1])))
        connection.close()


class PythonCase(canvas.Case):
    def insert(self, queue, properties, headers, body, priority=0):
        """`properties` and `headers` are texts, body a text or bytes."""
        connection = sqlite3.connect(self.db, timeout=support.TIMEOUT)
        with connection:
            connection.execute("INSERT INTO messages(queue, priority, task, properties, headers, body) VALUES(?,?,?,?,?,?)",
                               (queue, priority, json.loads(headers).get("task"), properties, headers, body))
        connection.close()

    def setUp(self):
        super().setUp()
        self.good("list", "queues")


class RecordedTest(PythonCase):
    def vectors(self):
        path = os.path.join(support.path_of("CEL_VECTORS"), "messages.json")
        with open(path, encoding="utf-8") as file:
            return json.load(file)["vectors"]

    def test_every_recorded_message_is_run_with_the_arguments_that_python_gave(self):
        vectors = {}
        for vector in self.vectors():
            body = bytes.fromhex(vector["body_hex"]) if "body_hex" in vector else vector["body"]
            properties = json.loads(vector["properties"])
            properties.update(content_type=vector["content_type"], content_encoding=vector["content_encoding"])
            if vector["headers"] == "{}":
                properties.pop("expiration", None)
            self.insert("vq", json.dumps(properties), vector["headers"], body)
            vectors[vector["expect"]["id"]] = vector
        worker = self.worker("-c", "2", "-Q", "vq,celery")
        wanted = {id for id, vector in vectors.items() if vector["expect"]["ignore_result"] is not True and not self.is_future(vector)}
        support.wait_until(lambda: wanted <= set(self.documents()), "all results but: "
                           + str([vectors[id]["name"] for id in wanted - set(self.documents())]), 30)
        documents = self.documents()
        for id, vector in vectors.items():
            with self.subTest(vector=vector["name"]):
                if id in wanted:
                    self.check(vector, documents[id])
        self.assertEqual(worker.stop(), 0)

    def is_future(self, vector):
        """Its ETA or countdown is recorded with the clock of that day: all have passed."""
        eta = vector["expect"]["eta_us"]
        return eta is not None and eta / 1e6 > time.time()

    def check(self, vector, document):
        expect = vector["expect"]
        if expect["expires_us"] is not None and expect["expires_us"] / 1e6 < time.time():
            self.assertEqual(document["status"], "REVOKED")
            return
        if not expect["task"].startswith("proj."):
            self.assertIn(document["status"], ("SUCCESS", "FAILURE"))
            return
        if document["status"] == "FAILURE":  # what C cannot hold
            self.assertIn(vector["name"], ("not numbers", "a lone surrogate", "big integers"), document)
            return
        self.assertEqual(document["status"], "SUCCESS", document)
        self.assertEqual(document["result"]["args"], json.loads(expect["args"]))
        self.assertEqual(document["result"]["kwargs"], json.loads(expect["kwargs"]))
        self.assertEqual(document.get("group_id"), expect["group"])


@unittest.skipIf(celery is None, "Python's Celery is not installed")
class LiveTest(PythonCase):
    def setUp(self):
        super().setUp()
        FileBackend.path = self.db
        self.app = celery.Celery("python_test", broker="memory://", set_as_current=False)
        self.app.conf.result_backend = None
        self.app.conf.task_ignore_result = False
        self.app.conf.result_expires = 3600
        self.app._local.backend = FileBackend(app=self.app)
        self.app.set_current()
        insert = self.insert

        def basic_publish(channel, message, exchange, routing_key, **kwargs):
            headers = message["headers"]
            properties = {**message["properties"], "content_type": message["content-type"],
                          "content_encoding": message["content-encoding"]}
            insert(routing_key, json.dumps(properties), json.dumps(headers), message["body"], properties.get("priority") or 0)

        self.saved = Channel.basic_publish
        Channel.basic_publish = basic_publish

    def tearDown(self):
        Channel.basic_publish = self.saved
        super().tearDown()

    def sig(self, name, *args, **kwargs):
        return self.app.signature(name, args=args, kwargs=kwargs)

    def get(self, result):
        self.call("test.none")  # a row put in by hand rings no bell: this does
        return result.get(timeout=support.TIMEOUT, interval=0.01)

    def test_python_calls_c_and_reads_what_it_returns(self):
        worker = self.worker("-c", "2")
        value = {"a": [1, 2.5, None, True, "ä😀", {"": []}], "big": 2**62, "text": "'\"\\\n"}
        self.assertEqual(self.get(self.app.send_task("test.echo", (value,))), value)
        self.assertEqual(self.get(self.app.send_task("test.add", (40,), {"y": 2})), 42)
        self.assertEqual(self.get(self.app.send_task("test.echo", ("x" * 100000,), compression="zlib")), "x" * 100000)
        self.assertEqual(self.get(self.app.send_task("test.add", (1, 2), countdown=0.3)), 3)
        self.assertTrue(math.isclose(self.get(self.app.send_task("test.echo", (0.1,))), 0.1))
        self.assertEqual(worker.stop(), 0)

    def test_python_raises_what_c_raised(self):
        worker = self.worker("-c", "2")
        with self.assertRaisesRegex(ValueError, "^no luck$"):
            self.get(self.app.send_task("test.fail", ("no luck",)))
        with self.assertRaises(KeyError):
            self.get(self.app.send_task("test.expected"))
        with self.assertRaisesRegex(TypeError, r"add\(\) missing 1 required positional argument: 'y'"):
            self.get(self.app.send_task("test.add", (1,)))
        with self.assertRaises(celery.exceptions.NotRegistered):
            self.get(self.app.send_task("no.such.task"))
        with self.assertRaises(celery.exceptions.WorkerLostError):
            self.get(self.app.send_task("test.crash"))
        with self.assertRaises(celery.exceptions.TimeLimitExceeded):
            self.get(self.app.send_task("test.stubborn", (60,), time_limit=0.2))
        with self.assertRaises(celery.exceptions.SoftTimeLimitExceeded):
            self.get(self.app.send_task("test.sleep", (60,), soft_time_limit=0.2))
        with self.assertRaises(celery.exceptions.TaskRevokedError):
            self.get(self.app.send_task("test.add", (1, 2), expires=-1))
        result = self.app.send_task("test.fail", ("why", "game.errors.NoSuchDay"))
        with self.assertRaisesRegex(Exception, "why"):
            self.get(result)
        self.assertIn("NoSuchDay", result.traceback)
        self.assertEqual(result.state, "FAILURE")
        self.assertEqual(worker.stop(), 0)

    def test_canvases_of_python_are_worked_through(self):
        worker = self.worker("-c", "2")
        sig = self.sig
        chain = celery.chain(sig("test.add", 1, 2), sig("test.add", 10), sig("test.add", 100), app=self.app)
        result = chain.apply_async()
        self.assertEqual(self.get(result), 113)
        self.assertEqual(self.get(result.parent), 13)
        group = celery.group([sig("test.add", i, i) for i in range(10)], app=self.app).apply_async()
        self.assertEqual(self.get(group), [2 * i for i in range(10)])
        chord = celery.chord([sig("test.add", i, 1) for i in range(20)], app=self.app)(sig("test.xsum"))
        self.assertEqual(self.get(chord), sum(range(20)) + 20)
        nested = celery.chain(sig("test.add", 1, 1), celery.group(sig("test.add", 5), sig("test.add", 6), app=self.app),
                              sig("test.xsum"), sig("test.add", 1000), app=self.app).apply_async()
        self.assertEqual(self.get(nested), 1015)
        linked = self.app.send_task("test.add", (1, 2), link=sig("test.append", self.path("linked"), "text").set(immutable=True))
        self.assertEqual(self.get(linked), 3)
        self.assertEqual(self.wait_for_lines("linked", 1), ["text"])
        self.assertEqual(worker.stop(), 0)

    def test_a_chord_of_python_fails_in_python(self):
        worker = self.worker("-c", "2")
        chord = celery.chord([self.sig("test.add", 1, 1), self.sig("test.fail", "no luck")], app=self.app)(self.sig("test.xsum"))
        with self.assertRaisesRegex(celery.exceptions.ChordError, r"Dependency .* raised ValueError\('no luck'\)"):
            self.get(self.app.AsyncResult(chord.id))
        with self.assertRaisesRegex(ValueError, "^no luck$"):  # Celery raises that of the part where it knows the parts
            self.get(chord)
        self.assertEqual(worker.stop(), 0)

    def test_states_and_children_are_seen_by_python(self):
        worker = self.worker("-c", "1")
        result = self.app.send_task("test.progress", (30,))
        self.call("test.none")
        support.wait_until(lambda: result.state in ("PROGRESS", "SUCCESS"), "PROGRESS")
        self.assertEqual(self.get(result), 30)
        parent = self.app.send_task("test.send", ("test.add", [1, 2]))
        child = self.get(parent)
        self.assertEqual([found.id for found in parent.children], [child])
        self.assertEqual(self.get(parent.children[0]), 3)
        self.assertEqual(worker.stop(), 0)


if __name__ == "__main__":
    support.main()
