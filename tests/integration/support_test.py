"""Tests of the tools that the other integration tests stand on: they must be able to fail."""
import os
import signal
import subprocess
import sys
import unittest

import support


class WaitTest(unittest.TestCase):
    def test_a_condition_that_is_true_ends_the_wait_with_its_value(self):
        values = iter([None, 0, "there"])
        self.assertEqual(support.wait_until(lambda: next(values), "values"), "there")

    def test_a_condition_that_stays_false_fails_at_the_deadline_and_is_named(self):
        with self.assertRaisesRegex(AssertionError, "still not: the moon"):
            support.wait_until(lambda: False, "the moon", timeout=0.05)


class ProcessTest(unittest.TestCase):
    def start(self, script):
        process = support.Process(["/bin/sh", "-c", script], "/", dict(os.environ))
        self.addCleanup(process.kill)
        return process

    def test_lines_are_expected_one_behind_the_other(self):
        process = self.start("echo one; echo two; echo three >&2; exec cat /dev/zero >/dev/null")
        process.expect("^one$")
        self.assertEqual(process.expect("^t(.*)$").group(1)[0:1] in ("w", "h"), True)
        process.rewind()
        process.expect("^one$")
        support.wait_until(lambda: process.stderr == ["three"], "standard error is apart")
        process.kill()

    def test_a_line_that_never_comes_fails_at_the_end_of_the_process(self):
        process = self.start("echo other; exit 3")
        with self.assertRaisesRegex(AssertionError, "no line matches 'missing'(.|\n)*other"):
            process.expect("missing")
        self.assertEqual(process.wait(), 3)

    def test_a_line_that_never_comes_fails_at_the_deadline(self):
        process = self.start("exec cat /dev/zero >/dev/null")
        with self.assertRaisesRegex(AssertionError, "no line matches"):
            process.expect("missing", timeout=0.05)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), -signal.SIGTERM)

    def test_a_process_that_does_not_end_fails_at_the_deadline(self):
        process = self.start("exec cat /dev/zero >/dev/null")
        with self.assertRaisesRegex(AssertionError, "still runs"):
            process.wait(timeout=0.05)
        self.assertEqual(process.kill(), -signal.SIGKILL)

    def test_children_are_found_with_their_children(self):
        process = self.start("sh -c 'cat /dev/zero >/dev/null & echo up; wait' & wait")
        process.expect("^up$")
        children = process.children()
        self.assertEqual(len(children), 2)
        for pid in children:
            os.kill(pid, signal.SIGKILL)


class CaseTest(support.Case):
    def test_the_environment_of_a_person_is_not_seen(self):
        os.environ["CELERY_BROKER_URL"] = "amqp://elsewhere"
        self.addCleanup(os.environ.pop, "CELERY_BROKER_URL")
        self.tearDown()
        self.setUp()
        self.assertNotIn("CELERY_BROKER_URL", self.env)

    def test_what_was_started_is_ended_and_the_folder_removed(self):
        worker = self.worker("-c", "1")
        folder, pids = self.dir, [worker.pid] + worker.children()
        self.assertGreater(len(pids), 1)
        self.tearDown()
        self.assertFalse(os.path.exists(folder))
        support.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids), "all processes gone")
        self.setUp()

    def test_a_command_that_fails_is_told_with_its_output(self):
        with self.assertRaisesRegex(AssertionError, "No such command"):
            self.good("nonsense")


class SkipTest(support.Case):
    def exit_status(self, body):
        program = self.write("some_test.py", "import unittest\nimport support\n" + body + "\nsupport.main()\n")
        return subprocess.run([sys.executable, program], cwd=self.dir, env={**self.env, "PYTHONPATH": os.path.dirname(support.__file__)},
                              capture_output=True, check=False).returncode

    def test_a_program_of_which_nothing_ran_is_skipped(self):
        none = "class T(unittest.TestCase):\n    def test_it(self):\n        {}\n"
        self.assertEqual(self.exit_status("def setUpModule():\n    raise unittest.SkipTest('no server')\n" + none.format("pass")),
                         support.SKIPPED)
        self.assertEqual(self.exit_status(none.format("self.skipTest('no server')")), support.SKIPPED)
        self.assertEqual(self.exit_status(none.format("pass")), 0)
        self.assertEqual(self.exit_status(none.format("self.fail('x')")), 1)


if __name__ == "__main__":
    support.main()
