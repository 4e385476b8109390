"""A full disk: clear errors, nothing lost, and on it goes when there is room again."""
import collections
import os
import re
import subprocess

import canvas
import support
from canvas import chord, group, sig

FULL = r"(?i)disk is full|disk full|no space|is full"


class FullCase(canvas.Case):
    """The database on a small file system of its own."""

    size = 16 << 20

    def setUp(self):
        super().setUp()
        self.disk = self.path("disk")
        os.mkdir(self.disk)
        if os.geteuid() != 0:
            self.skip("a small file system takes root to mount")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.disk], capture_output=True, text=True,
                              check=False)
        if done.returncode:
            self.skip("cannot mount a tmpfs: " + done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        self.db = os.path.join(self.disk, "test.db")
        self.url = "sqlite:///" + self.db

    def skip(self, why):
        self.tearDown()
        self.skipTest(why)

    def fill(self, leave=0):
        """Fills the disk but for so many bytes."""
        with open(os.path.join(self.disk, "ballast"), "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
            if leave:
                os.ftruncate(file.fileno(), max(0, file.tell() - leave))

    def empty(self):
        os.remove(os.path.join(self.disk, "ballast"))

    def fails_for_want_of_room(self, *words):
        done = self.run_command(*words, timeout=60)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stderr, FULL)
        return done

    def check_settles_later(self, task, pool="prefork"):
        """Results that do not fit are kept until they do; nothing is run twice meanwhile. How many still fit into the log is chance."""
        worker = self.worker("-c", "2", "-P", pool)
        gate = self.call("test.gate", self.path("gate"), "z" * 1000)
        self.wait_for_lines("gate.started", 1)
        count = 300
        client = self.client(chord([sig(task, self.path("steps"), i) for i in range(count)], sig("test.xsum")))
        self.wait_for_lines("steps", 20)
        self.fill()
        self.write("gate", "")
        support.wait_until(lambda: re.search(FULL, worker.text) or "test.gate[" + gate + "] succeeded" in worker.text, "full or done")
        self.assertIsNone(worker.popen.poll())
        self.empty()
        self.assertEqual(self.result(gate), "z" * 1000)
        outcome = client.outcome()
        self.assertEqual(outcome, {"value": sum(range(count))}, worker.text[-3000:])
        self.assertEqual(collections.Counter(self.read("steps").splitlines()), {str(i): 1 for i in range(count)})
        self.wait_until_empty()
        self.check_database()
        self.assertLess(len([line for line in worker.lines if "ERROR" in line or "WARNING" in line]), 40)  # an outage is not a flood
        self.assertEqual(worker.stop(), 0)


class ClientTest(FullCase):
    def test_a_client_is_told_and_what_was_accepted_stays(self):
        first = self.call("test.echo", "before")
        self.fill()
        for _ in range(3):  # the first may find room in the log that is there
            done = self.run_command("call", "test.echo", "--args", '["' + "x" * 100000 + '"]', timeout=60)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stderr, FULL)
        self.empty()
        second = self.call("test.echo", "after")
        worker = self.worker("-c", "1")
        self.assertEqual([self.result(first), self.result(second)], ["before", "after"])
        self.wait_until_empty()
        self.check_database()
        self.assertEqual(worker.stop(), 0)

    def test_a_new_file_on_a_full_disk_is_an_error(self):
        self.fill()
        self.fails_for_want_of_room("call", "test.add")
        self.fails_for_want_of_room("list", "queues")
        worker = self.worker("-c", "1", wait=False)
        worker.expect(FULL)  # it tries again, or it ends: no crash
        self.empty()
        if worker.popen.poll() is None:
            worker.ready()
            self.assertEqual(worker.stop(), 0)
        self.assertIn(worker.wait(), (0, 1))
        second = self.worker("-c", "1")
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        self.assertEqual(second.stop(), 0)

    def test_a_canvas_that_does_not_fit_is_not_sent_at_all(self):
        self.call("test.add", 1, 2)
        self.fill(leave=200000)
        client = self.client(group([sig("test.echo", "x" * 10000) for _ in range(500)]))
        outcome = client.outcome()
        self.assertRegex(outcome.get("message", ""), FULL)
        self.empty()
        self.assertEqual(self.query("SELECT count(*) FROM message"), [(1,)])
        self.check_database()


class WorkerTest(FullCase):
    def test_results_wait_for_room(self):
        for pool in ("prefork", "threads"):
            with self.subTest(pool=pool):
                self.check_settles_later("test.step", pool)
                for name in ("gate", "gate.started", "steps"):
                    os.remove(self.path(name))

    def test_late_tasks_are_not_run_again_for_it(self):
        self.check_settles_later("test.late.step")

    def test_a_worker_may_start_on_a_full_disk(self):
        task_id = self.call("test.add", 1, 2)
        self.fill()
        worker = self.worker("-c", "1", wait=False)
        worker.expect(FULL + r"|ready\.$")
        self.empty()
        if worker.popen.poll() is None:
            self.assertEqual(self.result(task_id), "3")
            self.assertEqual(worker.stop(), 0)
        else:
            self.assertEqual(worker.wait(), 1)
            self.worker("-c", "1")
            self.assertEqual(self.result(task_id), "3")

    def test_a_warm_stop_waits_and_a_cold_one_leaves_what_cannot_be_stored(self):
        worker = self.worker("-c", "1")
        task_id = self.call("test.late.gate", self.path("gate"), "z" * 1000)
        self.wait_for_lines("gate.started", 1)
        self.fill()
        big = self.run_command("call", "test.add")  # uses up what room the log has
        while big.returncode == 0:
            big = self.run_command("call", "test.add")
        self.write("gate", "")
        worker.expect(FULL)
        worker.signal(15)
        worker.expect("Warm shutdown")
        worker.signal(15)
        worker.expect("Cold shutdown")
        self.assertEqual(worker.wait(), 0)
        self.empty()
        second = self.worker("-c", "1")
        self.assertEqual(self.result(task_id), "z" * 1000)
        self.wait_until_empty()
        self.assertEqual(second.stop(), 0)


class SmallTest(FullCase):
    """The write-ahead log alone could fill it."""

    size = 4 << 20

    def test_the_log_does_not_take_the_room_that_its_own_copy_needs(self):
        self.check_settles_later("test.late.step")  # the log begins anew early here: it may have room for all


if __name__ == "__main__":
    support.main()
