"""kill -9 of a pool's process, of the zygote, of the worker and of the client, at many points of a chord.

The points are drawn from a seed, which a failing test names; CELERIAC_TEST_SEED draws others.
"""
import collections
import os
import random
import signal

import canvas
import support
from canvas import chain, chord, sig

SEED = int(os.environ.get("CELERIAC_TEST_SEED", "1"))
PARTS = 60


class KillCase(canvas.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(f"{SEED} {self.id()}")
        self.names = 0

    def next_worker(self, *options, **rest):
        self.names += 1
        return self.worker("-c", "2", *options, name=f"w{self.names}@test", **rest)

    def steps(self, task="test.late.step", seconds=0.005, parts=PARTS):
        """A chord whose parts leave a line each in `steps`; its value is the sum of their numbers. A kill may hit the body too."""
        return chord([sig(task, self.path("steps"), i, seconds) for i in range(parts)], sig("test.late.xsum"))

    def points(self, count, highest=PARTS - 5):
        """`count` ascending numbers of lines in `steps` at which to kill."""
        return sorted(self.random.sample(range(1, highest), count))

    def runs(self):
        """How often each part has been started."""
        return collections.Counter(int(line) for line in self.read("steps").splitlines())

    def pool_of(self, worker):
        """(zygote, children)."""
        zygote = canvas.children_of(worker.pid)
        self.assertEqual(len(zygote), 1)
        return zygote[0], canvas.children_of(zygote[0])

    def check_end(self, client, parts=PARTS):
        """The chord has ended well, each part counted once, and nothing is left in the file."""
        self.assertEqual(client.outcome(), {"value": sum(range(parts))}, f"seed {SEED}")
        self.assertEqual(set(self.runs()), set(range(parts)))
        self.wait_until_empty()
        self.check_database()
        documents = self.documents()
        self.assertEqual(len(documents), parts + 1)
        self.assertEqual({document["status"] for document in documents.values()}, {"SUCCESS"})


class ChildTest(KillCase):
    def test_parts_that_lose_their_process_are_run_again(self):
        worker = self.next_worker()
        client = self.client(self.steps())
        killed = []
        for point in self.points(4):
            self.wait_for_lines("steps", point)
            victim = self.random.choice(support.wait_until(lambda: self.pool_of(worker)[1], "a pool with processes"))
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
            support.wait_until(lambda: not canvas.is_alive(victim), "the end of a process")
        self.check_end(client)
        for victim in killed:
            worker.rewind()
            worker.expect(rf"Process 'ForkPoolWorker-\d+' pid:{victim} exited with 'signal 9 \(SIGKILL\)'")
        self.assertLessEqual(sum(self.runs().values()), PARTS + len(killed))  # what was not begun was not begun twice
        self.assertEqual(worker.stop(), 0)

    def test_both_processes_at_once_may_be_lost(self):
        worker = self.next_worker()
        client = self.client(self.steps())
        for point in self.points(2):
            self.wait_for_lines("steps", point)
            for victim in self.pool_of(worker)[1]:
                os.kill(victim, signal.SIGKILL)
        self.check_end(client)
        self.assertEqual(worker.stop(), 0)

    def test_an_early_task_that_loses_its_process_fails_and_its_chord_with_it(self):
        worker = self.next_worker()
        client = self.client(chord([sig("test.gate", self.path("gate")), sig("test.add", 1, 2)], sig("test.xsum")))
        task_id = self.wait_for_lines("gate.started", 1)[0]
        for victim in self.pool_of(worker)[1]:
            os.kill(victim, signal.SIGKILL)
        self.assertRegex(self.failure(task_id), r"^WorkerLostError: Worker exited prematurely: signal 9 \(SIGKILL\)")
        outcome = client.outcome()
        self.assertEqual(outcome.get("type"), "ChordError", outcome)
        self.assertIn(f"Dependency {task_id} raised WorkerLostError(", outcome["message"])
        self.wait_until_empty()
        self.assertEqual(self.result(self.call("test.add", 20, 3)), "23")
        self.assertEqual(len(self.read("gate.started").splitlines()), 1)
        self.assertEqual(worker.stop(), 0)


class ZygoteTest(KillCase):
    def test_a_worker_without_its_zygote_ends_with_an_error_and_the_next_goes_on(self):
        worker = self.next_worker()
        client = self.client(self.steps())
        self.wait_for_lines("steps", self.points(1)[0])
        zygote, children = self.pool_of(worker)
        os.kill(zygote, signal.SIGKILL)
        self.assertNotEqual(worker.wait(), 0)
        self.assertIn("Unrecoverable error: ", worker.text)
        self.assertFalse([pid for pid in children if canvas.is_alive(pid)])
        second = self.next_worker()
        self.check_end(client)
        self.assertEqual(second.stop(), 0)

    def test_an_early_task_of_a_lost_zygote_is_heard_of(self):
        worker = self.next_worker()
        task_id = self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        os.kill(self.pool_of(worker)[0], signal.SIGKILL)
        self.assertNotEqual(worker.wait(), 0)
        self.next_worker()
        self.assertRegex(self.failure(task_id), "^WorkerLostError: ")
        self.wait_until_empty()


class WorkerTest(KillCase):
    def test_the_next_worker_ends_what_killed_ones_have_begun(self):
        worker = self.next_worker()
        client = self.client(self.steps())
        for point in self.points(5):
            self.wait_for_lines("steps", point)
            worker.kill()
            worker = self.next_worker()
        self.check_end(client)
        self.assertLessEqual(sum(self.runs().values()), PARTS + 5 * 2)
        self.assertEqual(worker.stop(), 0)

    def test_it_may_die_whenever_a_result_has_been_stored(self):
        """The point of a kill is a result in the file, so the transaction after it is the one that is cut."""
        worker = self.next_worker()
        client = self.client(self.steps(seconds=0))
        for point in self.points(5):
            support.wait_until(lambda: self.query("SELECT count(*) FROM result")[0][0] >= point, f"{point} results")
            worker.kill()
            worker = self.next_worker()
        self.check_end(client)
        self.assertEqual(worker.stop(), 0)

    def test_the_chord_fires_if_its_worker_dies_at_the_last_part(self):
        """At the log line of the last part, so before, in or after the transaction that completes the chord."""
        for turn in range(6):
            with self.subTest(turn=turn):
                if os.path.exists(self.path("steps")):
                    os.remove(self.path("steps"))
                worker = self.next_worker()
                client = self.client(self.steps(parts=8, seconds=0.001))
                count = 8 if turn < 3 else 7
                for _ in range(count):
                    worker.expect(r"Task test\.late\.step\[.*\] succeeded in ")
                worker.kill()
                second = self.next_worker()
                self.assertEqual(client.outcome(), {"value": 28})
                self.wait_until_empty()
                self.assertEqual(second.stop(), 0)

    def test_early_tasks_of_a_killed_worker_fail_once_and_are_not_run_again(self):
        worker = self.next_worker()
        client = self.client(chord([sig("test.gate", self.path("gate"), i) for i in range(6)], sig("test.xsum")))
        self.wait_for_lines("gate.started", 2)
        worker.kill()
        begun = self.read("gate.started").splitlines()
        self.assertEqual(len(begun), 2)
        self.write("gate", "")
        second = self.next_worker()
        outcome = client.outcome()
        self.assertEqual(outcome.get("type"), "ChordError", outcome)
        self.assertIn("raised WorkerLostError(", outcome["message"])
        self.wait_until_empty()
        for task_id in begun:
            self.assertRegex(self.failure(task_id), "^WorkerLostError: ")
        runs = self.read("gate.started").splitlines()
        self.assertEqual(len(runs), 6)
        self.assertEqual(len(set(runs)), 6)  # each once
        self.assertEqual(second.stop(), 0)

    def test_a_chain_goes_on_and_an_errback_hears_of_a_lost_worker(self):
        worker = self.next_worker()
        client = self.client(chain(sig("test.late.step", self.path("steps"), 1, 0.001), sig("test.late.gate", self.path("gate"), 7, immutable=True),
                                   sig("test.add", 5)))
        early = self.client(sig("test.gate", self.path("other"),
                                options={"link_error": [sig("test.append", self.path("errors"), "heard", immutable=True)]}))
        self.wait_for_lines("gate.started", 1)
        self.wait_for_lines("other.started", 1)
        worker.kill()
        self.write("gate", "")
        second = self.next_worker()
        self.assertEqual(client.outcome(), {"value": 12})
        self.assertEqual(early.outcome().get("type"), "WorkerLostError")
        self.assertEqual(self.wait_for_lines("errors", 1), ["heard"])
        self.wait_until_empty()
        self.assertEqual(second.stop(), 0)

    def test_children_do_not_outlive_a_killed_worker(self):
        worker = self.next_worker()
        self.call("test.stubborn", 60)
        worker.expect("received")
        everyone = worker.children()
        self.assertGreaterEqual(len(everyone), 3)
        worker.kill()
        support.wait_until(lambda: not [pid for pid in everyone if canvas.is_alive(pid)], "the end of all its processes")

    def test_all_of_it_may_die_at_any_time(self):
        """Children, zygote and worker in any order, while two chords run."""
        worker = self.next_worker()
        clients = [self.client(self.steps()), self.client(self.steps(seconds=0.003))]
        for point in sorted(self.random.sample(range(1, 2 * PARTS - 10), 8)):
            self.wait_for_lines("steps", point)
            what = self.random.choice(["child", "child", "zygote", "worker"])
            if what == "worker":
                worker.kill()
            else:
                zygote, children = self.pool_of(worker)
                victims = children if what == "child" else [zygote]
                if victims:
                    os.kill(self.random.choice(victims), signal.SIGKILL)
                if what == "zygote":
                    self.assertNotEqual(worker.wait(), 0)
            if what != "child":
                worker = self.next_worker()
        for client in clients:
            self.assertEqual(client.outcome(), {"value": sum(range(PARTS))}, f"seed {SEED}")
        self.wait_until_empty()
        self.check_database()
        self.assertEqual(worker.stop(), 0)


class TwoFilesTest(KillCase):
    """Messages and results in files of their own: nothing takes effect together, so the order of the steps must do."""

    def setUp(self):
        super().setUp()
        self.results = "sqlite:///" + self.path("results.db")

    def globals(self):
        return super().globals() + ["--result-backend", self.results]

    def test_the_next_worker_ends_what_killed_ones_have_begun(self):
        worker = self.next_worker()
        client = self.client(self.steps(seconds=0.002), results=self.results)
        for point in self.points(5):
            self.wait_for_lines("steps", point)
            worker.kill()
            worker = self.next_worker()
        self.assertEqual(client.outcome(), {"value": sum(range(PARTS))}, f"seed {SEED}")
        self.assertEqual(set(self.runs()), set(range(PARTS)))
        self.wait_until_empty()
        self.assertEqual(worker.stop(), 0)


class ClientTest(KillCase):
    def points_of_a_client(self, client):
        """When to kill it: a condition."""
        yield "its start", lambda: True
        yield "a file", lambda: os.path.exists(self.db)
        yield "a log beside the file", lambda: os.path.exists(self.db + "-wal")
        yield "a table", lambda: self.has_messages() is not None
        yield "a message", self.has_messages
        yield "its word that it was sent", lambda: any('"sent"' in line for line in client.stdout)

    def has_messages(self):
        """None: not even a table."""
        try:
            return self.query("SELECT count(*) FROM message")[0][0] > 0
        except Exception:  # no table yet, or a lock
            return None

    def test_a_canvas_is_sent_whole_or_not_at_all(self):
        names = [name for name, _ in self.points_of_a_client(None)]
        for i, name in enumerate(names):
            with self.subTest(point=name):
                self.db = self.path(f"c{i}.db")
                self.url = "sqlite:///" + self.db
                client = self.client(self.steps("test.late.step", 0))
                when = list(self.points_of_a_client(client))[i][1]
                support.wait_until(lambda: when() or client.popen.poll() is not None, name)
                client.kill()
                self.good("list", "queues")  # the file is there and in order, whatever happened
                self.check_database()
                sent = self.query("SELECT count(*) FROM message")[0][0]
                self.assertIn(sent, (0, PARTS))
                if name in ("a message", "its word that it was sent"):
                    self.assertEqual(sent, PARTS)
                worker = self.next_worker()
                if sent:
                    worker.expect(r"Task test\.late\.xsum\[.*\] succeeded in .*: %d$" % sum(range(PARTS)))
                self.wait_until_empty()
                self.assertEqual(worker.stop(), 0)

    def test_the_job_of_a_killed_client_ends_and_another_can_fetch_it(self):
        client = self.client(self.steps())
        body = client.sent()["sent"]
        worker = self.next_worker()
        self.wait_for_lines("steps", self.points(1)[0])
        client.kill()
        self.assertEqual(self.result(body), str(sum(range(PARTS))))
        self.wait_until_empty()
        self.assertEqual(worker.stop(), 0)


if __name__ == "__main__":
    support.main()
