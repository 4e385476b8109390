"""Messages and files that nobody sane has written: each is refused with a clear word, and what is good goes on."""
import base64
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import uuid
import zlib

import canvas
import support
from canvas import sig

PROPERTIES = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2,
              "delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0, "correlation_id": "c", "reply_to": "r"}
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def headers(task="test.add", **change):
    id = change.pop("id", str(uuid.uuid4()))
    found = {"lang": "py", "task": task, "id": id, "shadow": None, "eta": None, "expires": None, "group": None,
             "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": id, "parent_id": None, "argsrepr": "(1, 2)",
             "kwargsrepr": "{}", "origin": "gen1@test", "ignore_result": False}
    found.update(change)
    return {key: value for key, value in found.items() if value is not ...}


def body(*args, embed=EMBED, **kwargs):
    return json.dumps([list(args), kwargs, embed])


def deep(depth):
    return "[" * depth + "]" * depth


class HostileCase(canvas.Case):
    def insert(self, *, queue="celery", task="test.add", properties=PROPERTIES, headers=None, body=body(1, 2), priority=0):
        """Puts a message in by hand, as an operator or an enemy would."""
        texts = [value if isinstance(value, (str, bytes, int, float, type(None))) else json.dumps(value)
                 for value in (properties, headers)]
        connection = sqlite3.connect(self.db, timeout=support.TIMEOUT)
        with connection:
            connection.execute("INSERT INTO messages(queue, priority, task, properties, headers, body) VALUES(?,?,?,?,?,?)",
                               (queue, priority, task, *texts, body))
        connection.close()

    def check_goes_on(self, worker):
        """The worker still runs good tasks, and has no message left."""
        self.assertEqual(self.result(self.call("test.add", 40, 2)), "42")
        self.wait_until_empty()
        self.assertIsNone(worker.popen.poll())

    def check_all_are_refused(self, cases):
        """Puts in each case (name: arguments of insert()) alone, expects an error line, then a good task to be run."""
        self.good("list", "queues")
        worker = self.worker("-c", "1")
        for name, case in cases.items():
            with self.subTest(case=name):
                self.insert(**case)
                self.wait_until_empty_with_a_kick(worker)
        self.check_goes_on(worker)
        self.assertEqual(worker.stop(), 0)
        return worker

    def wait_until_empty_with_a_kick(self, worker):
        """A row put in by hand rings no bell: a message sent does."""
        self.assertEqual(self.result(self.call("test.add", 1, 1)), "2")
        self.wait_until_empty()
        self.assertIsNone(worker.popen.poll())


class MessageTest(HostileCase):
    def test_a_good_message_put_in_by_hand_is_run(self):
        self.good("list", "queues")
        id = str(uuid.uuid4())
        self.insert(headers=headers(id=id), body=body(3, 4))
        self.insert(headers=headers(id=id + "b"), body=body(3, 5).encode())  # a blob
        self.insert(headers=json.dumps(headers(id=id + "c")).encode(), properties=json.dumps(PROPERTIES).encode(), body=body(3, 6))
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(id), "7")
        self.assertEqual(self.result(id + "b"), "8")
        self.assertEqual(self.result(id + "c"), "9")
        self.assertEqual(worker.stop(), 0)

    def test_messages_without_their_parts_are_dropped(self):
        worker = self.check_all_are_refused({
            "nothing at all": dict(task=None, properties=None, headers=None, body=None),
            "no headers": dict(headers=None),
            "no body": dict(headers=headers(), body=None),
            "no properties": dict(headers=headers(), properties=None),
            "empty": dict(task="", properties="", headers="", body=""),
            "numbers": dict(task=1, properties=2, headers=3.5, body=4),
            "blobs": dict(task=b"\0\1", properties=b"\xff", headers=b"\xfe\xfe", body=b"\x80"),
            "no id": dict(headers=headers(id=None)),
            "an absent id": dict(headers=headers(id=...)),
            "an empty id": dict(headers=headers(id="")),
            "an id that is a number": dict(headers=headers(id=7)),
            "no task": dict(headers=headers(task=None)),
            "an absent task": dict(headers=headers(task=...)),
        })
        self.assertGreaterEqual(worker.text.count("Received and rejected a message"), 9)

    def test_broken_headers_are_dropped(self):
        self.check_all_are_refused({
            "cut off": dict(headers=json.dumps(headers())[:60]),
            "an array": dict(headers="[]"),
            "a word": dict(headers="null"),
            "two objects": dict(headers=json.dumps(headers()) * 2),
            "deep": dict(headers='{"id": %s}' % deep(100000)),
            "invalid UTF-8": dict(headers=json.dumps(headers(shadow="@@")).replace("@@", "\x01").encode() + b"\xff"),
            "an id of invalid UTF-8": dict(headers=json.dumps(headers(id="@@")).encode().replace(b"@@", b"\xc3\x28")),
            "a lone surrogate": dict(headers=json.dumps(headers(id="@@")).replace("@@", r"\ud800")),
            "a NUL in the id": dict(headers=headers(id="a\0b")),
            "a NUL in the task": dict(headers=headers(task="test.add\0x")),
            "an empty eta": dict(headers=headers(eta="")),
            "an eta of nonsense": dict(headers=headers(eta="yesterday")),
            "an eta that is a number": dict(headers=headers(eta=12)),
            "an empty expires": dict(headers=headers(expires="")),
            "expires is a list": dict(headers=headers(expires=[])),
            "retries is text": dict(headers=headers(retries="many")),
            "retries is huge": dict(headers=headers(retries=10**30)),
            "time limits of one": dict(headers=headers(timelimit=[1])),
            "time limits of text": dict(headers=headers(timelimit=["a", "b"])),
            "a negative time limit": dict(headers=headers(timelimit=[-5, -5])),
            "group is a number": dict(headers=headers(group=5)),
            "group_index is text": dict(headers=headers(group_index="x")),
            "a chord without its group": dict(headers=headers(), body=body(1, 2, embed={**EMBED, "chord": sig("test.xsum")})),
        })

    def test_bodies_that_are_none_make_failures(self):
        """The id is known, so somebody may be waiting: it gets a FAILURE, and is never left pending."""
        self.good("list", "queues")
        cases = {
            "two elements": json.dumps([[1, 2], {}]),
            "none": "",
            "no JSON": "<xml/>",
            "cut off": body(1, 2)[:10],
            "an object": "{}",
            "args is an object": json.dumps([{}, {}, EMBED]),
            "kwargs is a list": json.dumps([[1, 2], [], EMBED]),
            "embed is a list": json.dumps([[1, 2], {}, []]),
            "callbacks is text": json.dumps([[1, 2], {}, {**EMBED, "callbacks": "x"}]),
            "a callback without task": json.dumps([[1, 2], {}, {**EMBED, "callbacks": [{"args": []}]}]),
            "chain is a number": json.dumps([[1, 2], {}, {**EMBED, "chain": 3}]),
            "chain of nulls": json.dumps([[1, 2], {}, {**EMBED, "chain": [None]}]),
            "invalid UTF-8": b'[["\xff", 1], {}, null]',
            "deep": '[[%s, 1], {}, null]' % deep(200000),
            "a huge number": "[[1e999, 1], {}, null]",
            "compressed garbage": b"garbage",
        }
        ids = {}
        for name, text in cases.items():
            ids[name] = str(uuid.uuid4())
            more = {"compression": "application/x-gzip"} if name == "compressed garbage" else {}
            self.insert(headers=headers(id=ids[name], **more), body=text)
        worker = self.worker("-c", "2")
        self.check_goes_on(worker)
        documents = self.documents()
        for name, id in ids.items():
            with self.subTest(case=name):
                self.assertIn(id, documents, worker.text)
                self.assertEqual(documents[id]["status"], "FAILURE")
        self.assertEqual(worker.stop(), 0)

    def test_foreign_encodings_make_failures_or_are_read(self):
        self.good("list", "queues")
        good = {
            "base64": dict(properties={**PROPERTIES, "body_encoding": "base64"}, body=body(1, 2)),
            "zlib": dict(headers=headers(compression="application/x-gzip"), body=zlib.compress(body(1, 2).encode())),
        }
        bad = {
            "an unknown content type": dict(properties={**PROPERTIES, "content_type": "application/x-nonsense"}),
            "pickle": dict(properties={**PROPERTIES, "content_type": "application/x-python-serialize", "content_encoding": "binary"},
                           body=base64.b64decode("gAJdcQAu")),
            "an unknown encoding": dict(properties={**PROPERTIES, "content_encoding": "klingon"}),
            "an unknown compression": dict(headers=headers(compression="application/x-nonsense")),
            "half a zlib stream": dict(headers=headers(compression="application/x-gzip"),
                                       body=zlib.compress(body(1, 2).encode())[:15]),
            "a zlib bomb": dict(headers=headers(compression="application/x-gzip"), body=zlib.compress(b"[" + b" " * (400 << 20), 9)),
        }
        ids = {}
        for name, case in {**good, **bad}.items():
            case.setdefault("headers", headers())
            ids[name] = case["headers"]["id"]
            self.insert(**case)
        worker = self.worker("-c", "1")
        self.check_goes_on(worker)
        documents = self.documents()
        for name, id in ids.items():
            with self.subTest(case=name):
                if name in good:
                    self.assertEqual(documents[id]["result"], 3)
                elif id in documents:
                    self.assertEqual(documents[id]["status"], "FAILURE")
                else:
                    self.assertRegex(worker.text, rf"rejected a task whose content is not allowed: .*{id}")
        self.assertEqual(worker.stop(), 0)

    def test_huge_messages_are_run_or_put_aside(self):
        self.good("list", "queues")
        id = str(uuid.uuid4())
        self.insert(headers=headers("test.arguments", id=id), body=body("x" * (20 << 20)))
        worker = self.worker("-c", "1")
        support.wait_until(lambda: self.documents().get(id, {}).get("status") == "SUCCESS", "the end of a huge task")
        self.check_goes_on(worker)
        self.assertEqual(worker.stop(), 0)

    def test_rows_of_hostile_numbers_do_no_harm(self):
        self.good("list", "queues")
        worker = self.worker("-c", "1")
        rows = [
            "INSERT INTO message(queue) VALUES(99999)",                      # no such queue
            "INSERT INTO message(queue, priority) VALUES(1, 9223372036854775807)",
            "INSERT INTO message(queue, priority, due_ms) VALUES(1, -1, -9223372036854775808)",
            "INSERT INTO message(queue, priority, deliveries, lost) VALUES(1, 'x', 'many', x'00')",
            "INSERT INTO ready VALUES(1, 'rank', 'id')",
            "INSERT INTO ready VALUES(1, NULL_RANK, -7)".replace("NULL_RANK", "1.5"),
            "INSERT INTO ready SELECT id, 0, 123456 FROM queue",             # a message that is not there
            "INSERT INTO waiting VALUES('soon', 'nobody')",
            "INSERT INTO waiting VALUES(0, 987654)",
            "INSERT INTO claim(id, owner) VALUES(4711, 4712)",
            "INSERT INTO consumer(owner, queue) VALUES(-1, -1)",
            "INSERT INTO owner(pid, start_time, host, boot_id, pid_ns, lease_ms, lease_until_ms) VALUES('a','b','c','d','e','f','g')",
            "INSERT INTO chord(gid, expires_ms, state, size, count) VALUES('x', 0, 1, 'y', -5)",
            "INSERT INTO result(expires_ms, status, task_id, document) VALUES('x', 'y', 'z', 'no json')",
        ]
        for row in rows:
            with self.subTest(row=row):
                connection = sqlite3.connect(self.db, timeout=support.TIMEOUT)
                with connection:
                    connection.execute(row)
                connection.close()
                self.assertEqual(self.result(self.call("test.add", 40, 2)), "42", worker.text)
        for table in ("ready", "waiting"):
            self.assertEqual(self.query(f"SELECT * FROM {table} WHERE typeof(id)<>'integer'"), [])
        self.assertEqual(self.run_command("result", "z", "--timeout", "1").returncode, 1)
        self.good("list", "queues")
        self.assertEqual(worker.stop(), 0)
        second = self.worker("-c", "1")
        self.assertEqual(self.result(self.call("test.add", 40, 2)), "42")
        self.assertEqual(second.stop(), 0)

    def test_random_damage_to_good_messages_never_ends_the_worker(self):
        self.good("list", "queues")
        choose = random.Random(5)
        count = 300
        for i in range(count):
            parts = [json.dumps(PROPERTIES).encode(), json.dumps(headers("test.echo", id=f"id-{i}", group="g", group_index=1)).encode(),
                     body("text", embed={**EMBED, "callbacks": [sig("test.none", immutable=True)], "chord": sig("test.none", immutable=True)}).encode()]
            for _ in range(choose.randint(1, 3)):
                which = choose.randrange(3)
                part = bytearray(parts[which])
                at = choose.randrange(len(part))
                kind = choose.randrange(3)
                if kind == 0:
                    part[at] = choose.randrange(256)
                elif kind == 1:
                    del part[at:at + choose.randint(1, 20)]
                else:
                    part[at:at] = bytes(choose.choice(b'{}[]",:\\0x\xff\0') for _ in range(choose.randint(1, 4)))
                parts[which] = bytes(part)
            self.insert(task="test.echo", properties=parts[0], headers=parts[1], body=parts[2])
        worker = self.worker("-c", "2")
        self.assertEqual(self.result(self.call("test.add", 40, 2)), "42")
        support.wait_until(lambda: self.query("SELECT count(*) FROM messages WHERE queue='celery'")[0][0] == 0, "an empty queue")
        self.check_database()
        self.assertEqual(worker.stop(), 0)


class FileTest(HostileCase):
    def check_refused(self, pattern, timeout=20):
        """Worker, call and list all end with an error that matches; nothing hangs."""
        for words in (["worker", "-c", "1"], ["call", "test.add"], ["list", "queues"], ["purge", "-f"]):
            with self.subTest(words=words):
                done = self.run_command(*words, timeout=timeout)
                self.assertNotEqual(done.returncode, 0, done.stdout)
                self.assertRegex(done.stderr, pattern)

    def test_a_database_of_someone_else_is_left_alone(self):
        connection = sqlite3.connect(self.db)
        connection.execute("CREATE TABLE precious(x)")
        connection.execute("INSERT INTO precious VALUES(1)")
        connection.commit()
        connection.close()
        with open(self.db, "rb") as file:
            before = file.read()
        self.check_refused(r"test\.db.*(is not|no|another|other|foreign)")
        with open(self.db, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_a_text_file_is_left_alone(self):
        self.write("test.db", "Dear diary,\n" * 500)
        self.check_refused(r"test\.db.*(not a|no) (SQLite )?database")
        self.assertEqual(self.read("test.db"), "Dear diary,\n" * 500)

    def test_a_folder_is_no_database(self):
        os.mkdir(self.db)
        self.check_refused(r"test\.db")

    def test_a_newer_file_is_not_touched(self):
        self.call("test.add", 1, 2)
        self.query("PRAGMA user_version=2")
        self.check_refused(r"(?i)newer|version 2")
        self.query("PRAGMA user_version=1")
        self.assertEqual(self.queue_length(), 1)

    def test_a_truncated_file_is_an_error_and_no_crash(self):
        for _ in range(3):
            self.call("test.echo", "x" * 20000)
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")
        size = os.path.getsize(self.db)
        good = self.path("good.db")
        shutil.copyfile(self.db, good)
        for keep in (size // 2 // 4096 * 4096, 4096, 100, 5000):
            with self.subTest(keep=keep):
                for suffix in ("", "-wal", "-shm"):
                    if os.path.exists(self.db + suffix):
                        os.remove(self.db + suffix)
                shutil.copyfile(good, self.db)
                os.truncate(self.db, keep)
                for words in (["list", "queues"], ["call", "test.add"]):
                    done = self.run_command(*words, timeout=30)
                    if done.returncode:
                        self.assertRegex(done.stderr, r"test\.db|malformed|damaged|corrupt|not a database")
                worker = self.worker("-c", "1", wait=False)
                support.wait_until(lambda: worker.popen.poll() is not None or re.search("malformed|damaged|corrupt|not a database", worker.text),
                                   "a worker that complains")
                worker.stop()
                self.assertRegex(worker.text, "malformed|damaged|corrupt|not a database")

    def test_a_folder_that_cannot_be_written_is_an_error(self):
        folder = self.path("closed")
        os.mkdir(folder)
        os.chmod(folder, 0o555)
        os.chmod(self.dir, 0o755)
        somebody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}  # root may write everywhere
        for words in (["worker", "-c", "1"], ["call", "test.add"], ["list", "queues"]):
            done = subprocess.run([self.celeriac, "-b", f"sqlite:///{folder}/x.db", *words], cwd="/", env=self.env, text=True,
                                  capture_output=True, timeout=20, check=False, **somebody)
            if done.returncode == 126 or "cannot open shared object" in done.stderr or "Permission denied: '" in done.stderr:
                self.skipTest("the build directory is closed to others")
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, r"x\.db")

    def test_a_read_only_file_system_is_an_error(self):
        self.url = "sqlite:////proc/x.db"
        self.check_refused(r"x\.db")

    def test_a_folder_that_is_not_there_is_an_error(self):
        self.url = f"sqlite:///{self.dir}/no/such/x.db"
        self.check_refused(r"x\.db|no/such")

    def test_a_file_that_vanishes_does_not_crash_the_worker(self):
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        for name in os.listdir(self.dir):
            if name.startswith("test.db") and os.path.isfile(self.path(name)):
                os.remove(self.path(name))
        self.call("test.add", 1, 2)  # makes a new file, which the worker does not know
        worker.stop()
        self.assertIn(worker.popen.returncode, (0, 1))


if __name__ == "__main__":
    support.main()
