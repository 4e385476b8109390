"""Programs as tasks, declared in the configuration: what they are given and what becomes of it, and that nothing of them stays."""
import os
import signal
import unittest

import canvas
import python_test
import support

PROGRAMS = {
    "p.echo": ["cat"],
    "p.fail": ["sh", "-c", "echo first >&2; echo 'no such image' >&2; exit 3"],
    "p.named": ["sh", "-c", """echo '{"error": {"type": "KeyError", "message": "day"}}' >&3; exit 1"""],
    # Fails twice, with a countdown of nothing, then prints how often it has been tried.
    "p.retry": ["sh", "-c", "test $CELERIAC_RETRIES = 2 && exec echo $CELERIAC_RETRIES; echo '{\"retry\": 0}' >&3; exit 75"],
    # Progress; ends when the file `gate` is there.
    "p.progress": ["sh", "-c", "echo '{\"done\": 1}' >&3; until test -e gate; do sleep 0.01; done; echo '\"all\"'"],
    # Starts one process in its group and one in a session of its own, and writes down all three.
    "p.family": ["sh", "-c", "sleep 1000 & one=$!; setsid sleep 1001 & echo $one >>pids; echo $! >>pids; echo $$ >>pids; wait"],
    # Leaves both behind.
    "p.leaves": ["sh", "-c", "sleep 1000 >/dev/null 2>&1 3>&1 & echo $! >>pids; setsid sleep 1001 & echo $! >>pids; echo 1"],
}


class ProgramCase(canvas.Case):
    module = False

    def setUp(self):
        super().setUp()
        self.write("celeryconfig.py", f"task_programs = {PROGRAMS!r}\n")

    def family(self, count):
        return [int(line) for line in self.wait_for_lines("pids", count)]

    def check_gone(self, pids):
        support.wait_until(lambda: not [pid for pid in pids if canvas.is_alive(pid)], f"the end of {pids}")


class ProgramTest(ProgramCase):
    def test_arguments_go_in_and_a_result_comes_out(self):
        worker = self.worker("-c", "1")
        task_id = self.call("p.echo", 1, "ä", x={"y": [None]})
        self.result(task_id)
        document = self.documents()[task_id]
        self.assertEqual(document["result"], {"task": "p.echo", "id": task_id, "retries": 0, "args": [1, "ä"], "kwargs": {"x": {"y": [None]}}})
        self.assertEqual(worker.stop(), 0)

    def test_a_failure_has_the_last_words(self):
        worker = self.worker("-c", "1")
        task_id = self.call("p.fail")
        self.assertEqual(self.failure(task_id), "ChildProcessError: sh exited with status 3: no such image")
        self.assertIn("    first\n    no such image\nChildProcessError", self.documents()[task_id]["traceback"])
        self.assertEqual(self.failure(self.call("p.named")), "KeyError: 'day'")
        self.assertEqual(worker.stop(), 0)

    def test_status_75_tries_again(self):
        worker = self.worker("-c", "1")
        task_id = self.call("p.retry")
        self.assertEqual(self.result(task_id), "2")
        self.assertEqual(worker.text.count("retry: Retry in 0s"), 2)
        self.assertEqual(worker.stop(), 0)

    def test_progress_is_seen_while_it_runs(self):
        worker = self.worker("-c", "1")
        task_id = self.call("p.progress")
        support.wait_until(lambda: self.documents().get(task_id, {}).get("status") == "PROGRESS", "PROGRESS")
        self.assertEqual(self.documents()[task_id]["result"], {"done": 1})
        self.write("gate", "")
        self.assertEqual(self.result(task_id), "all")
        self.assertEqual(worker.stop(), 0)

    def test_a_wrong_declaration_ends_the_worker_with_an_error(self):
        self.write("celeryconfig.py", "task_programs = {'p.x': {'comand': ['true']}}\n")
        done = self.run_command("worker")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'p.x': 'comand' is no option of a program", done.stderr)


class EndTest(ProgramCase):
    """Whatever ends a program ends its descendants, those in sessions of their own included."""

    def test_what_it_leaves_behind_ends_with_it(self):
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(self.call("p.leaves")), "1")
        self.check_gone(self.family(2))
        self.assertEqual(worker.stop(), 0)

    def test_a_cold_stop_ends_all_of_it(self):
        worker = self.worker("-c", "1")
        task_id = self.call("p.family")
        pids = self.family(3)
        self.assertEqual(worker.stop(signal.SIGQUIT), 0)
        self.check_gone(pids)
        self.assertIn("WorkerLostError", self.failure(task_id))

    def test_a_limit_of_the_task_ends_all_of_it(self):
        self.write("celeryconfig.py", f"task_programs = {{'p.family': {{'command': {PROGRAMS['p.family']!r}, 'time_limit': 0.5}}}}\n")
        for pool in "prefork", "threads", "solo":
            worker = self.worker("-c", "1", "-P", pool)
            self.assertRegex(self.failure(self.call("p.family")), "TimeLimitExceeded")
            pids = self.family(3)
            if pool != "prefork":  # a session of its own is out of reach of the others: the test ends it
                os.kill(pids.pop(1), signal.SIGKILL)
            self.check_gone(pids)
            self.assertEqual(worker.stop(), 0)
            os.unlink(self.path("pids"))

    def test_the_end_of_its_child_ends_all_of_it(self):
        worker = self.worker("-c", "1")
        task_id = self.call("p.family")
        pids = self.family(3)
        [zygote] = canvas.children_of(worker.pid)
        [child] = canvas.children_of(zygote)
        os.kill(child, signal.SIGKILL)
        self.check_gone(pids)
        self.assertIn("WorkerLostError", self.failure(task_id))
        self.assertEqual(worker.stop(), 0)

    def test_nothing_outlives_a_killed_worker(self):
        worker = self.worker("-c", "1")
        self.call("p.family")
        pids = self.family(3)
        worker.kill()
        self.check_gone(pids)

    def test_the_program_does_not_outlive_a_killed_worker_of_threads(self):
        worker = self.worker("-c", "1", "-P", "threads")
        self.call("p.family")
        pids = self.family(3)
        worker.kill()
        self.check_gone(pids[2:])
        for pid in pids[:2]:  # what the guide says: these stay
            os.kill(pid, signal.SIGKILL)


@unittest.skipIf(python_test.celery is None, "Python's Celery is not installed")
class PythonTest(python_test.LiveTest):
    """Python's Celery sends to programs and reads what they return."""

    def setUp(self):
        super().setUp()
        self.write("celeryconfig.py", f"task_programs = {PROGRAMS!r}\n")

    def test_python_calls_programs(self):
        worker = self.worker("-c", "1")
        result = self.app.send_task("p.echo", (1, "ä"), {"x": None})
        value = self.get(result)
        self.assertEqual(value, {"task": "p.echo", "id": result.id, "retries": 0, "args": [1, "ä"], "kwargs": {"x": None}})
        with self.assertRaisesRegex(ChildProcessError, "sh exited with status 3: no such image"):
            self.get(self.app.send_task("p.fail"))
        with self.assertRaisesRegex(KeyError, "day"):
            self.get(self.app.send_task("p.named"))
        self.assertEqual(self.get(self.app.send_task("p.retry")), 2)
        self.assertEqual(worker.stop(), 0)


for _name in [name for name in dir(python_test.LiveTest) if name.startswith("test_")]:
    setattr(PythonTest, _name, None)  # they are run there

if __name__ == "__main__":
    support.main()
