"""The main job from end to end: the client, the file, a worker with each pool, the ranking."""
import ast
import json
import os
import re
import signal
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import support

LEVELS = ["1-450", "451-900"]


class JobCase(support.Case):
    """A database, the module hotwords.so and its client."""

    def setUp(self):
        super().setUp()
        self.tasks = support.path_of("HOTWORDS_MODULE")
        self.client = support.path_of("HOTWORDS_CLIENT")
        self.sample = support.path_of("HOTWORDS_SAMPLE")
        self.env = {key: value for key, value in self.env.items() if not key.startswith("HOTWORDS_")}

    def job_worker(self, *options, **rest):
        return self.worker("-c", "4", "-Q", "celery_test", *options, name="celery_test", **rest)

    def hotwords(self, *options, status=0, **rest):
        """Runs the client to its end; returns its standard output, or of a failure its standard error."""
        command = [self.client, "-b", self.url, "--timeout", str(support.TIMEOUT), *options]
        done = subprocess.run(command, cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL, text=True, encoding="utf-8",
                              errors="replace", capture_output=True, timeout=2 * support.TIMEOUT, check=False, **rest)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stderr if status else done.stdout

    def assert_expected(self, folder, model):
        """The document says of the records in `folder` exactly what is to be found in them."""
        with open(os.path.join(folder, "expected.json"), encoding="utf-8") as file:
            expected = json.load(file)
        self.assertEqual(set(model), {"partitions", "merged"})
        self.assertEqual(len(model["partitions"]), 4)
        for got, want in zip(model["partitions"] + [model["merged"]], expected["partitions"] + [expected["merged"]]):
            self.assertEqual({key: value for key, value in got.items() if key != "bad_records"}, want)
            self.assertEqual(got.get("bad_records", {}), {})


class RankingTest(JobCase):
    def run_with(self, pool):
        worker = self.job_worker("-P", pool)
        self.assert_expected(self.sample, json.loads(self.hotwords("--json", "--data", self.sample)))
        shared = os.path.join(os.environ.get("CELERIAC_SHARED", ""), "data", "chat")
        there = os.path.exists(os.path.join(shared, "expected.json"))
        if there:
            self.assert_expected(shared, json.loads(self.hotwords("--json", "--data", shared)))
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.queue_length("celery_test"), 0)
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")
        if not there:
            print(f"the ranking of the real records is not compared: {shared} is absent")

    def test_the_ranking_is_right_with_processes(self):
        self.run_with("prefork")

    def test_the_ranking_is_right_with_threads(self):
        self.run_with("threads")

    def test_the_ranking_is_right_with_solo(self):
        self.run_with("solo")

    def test_a_job_waits_until_a_worker_comes(self):
        client = self.start_client("--json", "--data", self.sample)
        client.expect(r"^job \S+: 4 parts sent to the queue celery_test$")
        self.assertEqual(self.queue_length("celery_test"), 4)
        self.job_worker()
        self.assertEqual(client.wait(), 0, client.text)
        self.assert_expected(self.sample, json.loads("\n".join(client.stdout)))
        self.assertIn("4 of 4 parts", client.stderr)

    def start_client(self, *options):
        client = support.Process([self.client, "-b", self.url, *options], self.dir, self.env)
        self._processes.append(client)
        return client

    def test_the_order_is_that_of_the_options(self):
        self.job_worker()
        model = json.loads(self.hotwords("--json", "--data", self.sample, "--dates", "20200407,20200406",
                                         "--levels", "451-900,1-9,10-450"))
        self.assertEqual([(part["date"], part["level_lo"]) for part in model["partitions"]],
                         [(date, lo) for date in ("20200407", "20200406") for lo in (451, 1, 10)])

    def test_one_part_is_a_job_too(self):
        self.job_worker()
        model = json.loads(self.hotwords("--json", "--data", self.sample, "--dates", "20200406", "--levels", "1-450"))
        self.assertEqual(len(model["partitions"]), 1)
        self.assertEqual(model["partitions"][0]["table_sha256"], model["merged"]["table_sha256"])

    def test_the_folder_is_relative_to_the_client_or_the_workers_default(self):
        os.symlink(self.sample, self.path("chat"))
        os.mkdir(self.path("elsewhere"))
        worker = self.job_worker(cwd=self.path("elsewhere"))
        self.assert_expected(self.sample, json.loads(self.hotwords("--json", "--data", "chat")))
        self.assert_expected(self.sample, json.loads(self.hotwords("--json")))  # the module's own
        worker.stop()
        self.job_worker(env={"HOTWORDS_DATA": self.path("elsewhere")})
        self.assertIn(f"in the folder '{self.path('elsewhere')}'", self.hotwords("--json", status=1))

    def test_the_ranking_is_printed_with_bars_and_a_table(self):
        self.job_worker()
        text = self.hotwords("--data", self.sample, "--top", "3", "--report", "page.html")
        self.assertRegex(text, r"(?m)^20200406 +1-450 +747 +5732 +2505 +202 +0$")
        self.assertRegex(text, r"(?m)^all +3000 +23462 +10209 +279 +0$")
        self.assertEqual(len(re.findall(r"(?m)^ +\d  \S+ +\d+  █+[▏▎▍▌▋▊▉]?$", text)), 3)
        self.assertNotIn("\033", text)
        self.assertIn("report: page.html", text)

    def test_the_page_is_well_formed_and_needs_nothing_else(self):
        self.job_worker()
        self.hotwords("--data", self.sample, "--report", "page.html")
        page = self.read("page.html")
        self.assertTrue(page.startswith("<!DOCTYPE html>\n"))
        root = ElementTree.fromstring(page.split("\n", 1)[1])
        self.assertEqual(len(root.findall(".//svg//rect")), 20)
        self.assertEqual(len(root.findall(".//table/tr")), 6)
        self.assertNotRegex(page, r"https?:|<script|<link|src=|@import|url\(")

    def test_numbers_and_keywords_are_good_arguments(self):
        self.job_worker()
        task_id = self.call("make_result_str", 20200406, level_lo=1, level_hi=450, data=self.sample,
                            options=("--queue", "celery_test"))
        self.assertEqual(ast.literal_eval(self.result(task_id))["records"], 747)


class FailureTest(JobCase):
    def test_a_missing_day_is_named_and_ends_with_1(self):
        worker = self.job_worker()
        text = self.hotwords("--data", self.sample, "--dates", "20200406,20200408", status=1)
        for levels in LEVELS:
            self.assertRegex(text, rf"(?m)^  20200408, levels {levels} \(task [0-9a-f-]+\): FileNotFoundError: no chat "
                                   rf"records of the day 20200408 in the folder '{re.escape(self.sample)}'")
        self.assertNotIn("  20200406, levels", text)
        self.assertNotIn("make_model[", worker.text)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.queue_length("celery_test"), 0)

    def test_bad_records_are_counted_and_end_nothing(self):
        with open(os.path.join(self.sample, "20200406.jsonl"), "rb") as file:
            good = file.read().splitlines(keepends=True)
        bad = [b'{"level": 1, "te\n', b'{"level": "1", "text": "x"}\n', b'{"text": "x"}\n', b'{"level": 1, "text": "\xff"}\n',
               b'{"level": 0, "text": "x"}\n', b'{"level": 1, "text": "' + b"x" * (1 << 20) + b'"}\n', b"\0\0\n"]
        with open(self.path("20200406.jsonl"), "wb") as file:
            file.write(b"".join(good[:5] + bad + good[5:]))
        worker = self.job_worker()
        model = json.loads(self.hotwords("--json", "--data", self.dir, "--dates", "20200406"))
        kinds = {"broken_json": (2, 6), "wrong_type": (1, 7), "missing_field": (1, 8), "invalid_utf8": (1, 9),
                 "level_out_of_range": (1, 10), "line_too_long": (1, 11)}
        want = {kind: {"count": count, "first_line": line} for kind, (count, line) in kinds.items()}
        self.assertEqual(model["merged"]["bad_records"], want)
        with open(os.path.join(self.sample, "expected.json"), encoding="utf-8") as file:
            parts = json.load(file)["partitions"]
        self.assertEqual([part["table_sha256"] for part in model["partitions"]], [part["table_sha256"] for part in parts[:2]])
        worker.rewind()
        worker.expect(r"WARNING/.*20200406\.jsonl: left out 2 bad records \(broken_json\), first in line 6$")
        self.assertIn("bad records of 20200406: broken_json 2 (first in line 6), ",
                      self.hotwords("--data", self.dir, "--dates", "20200406"))

    def test_without_a_worker_it_ends_with_69_and_a_hint(self):
        text = self.hotwords("--timeout", "0.1", status=69)
        self.assertIn("hotwords: no result within 0.1 seconds", text)
        self.assertIn(f"celeriac -A hotwords.so -b {self.url} worker -n celery_test -c 4 -l info -Q celery_test", text)

    def test_wrong_arguments_are_refused_by_the_task(self):
        self.job_worker()
        cases = [
            ([], {}, r"TypeError: make_result_str\(\) missing 3 required positional arguments: 'date', 'level_lo', and 'level_hi'"),
            (["x", 1, 450], {}, "ValueError: date 'x': expected eight digits"),
            ([None, 1, 450], {}, "TypeError: date must be"),
            (["20200406", 450, 1], {}, "ValueError: levels 450 to 1: "),
            (["20200406", "1", 450], {}, "TypeError: "),
            (["20200406", 1, 450], {"folder": "."}, "TypeError: .*unexpected keyword argument 'folder'"),
        ]
        for args, kwargs, message in cases:
            with self.subTest(args=args):
                task_id = self.call("make_result_str", *args, options=("--queue", "celery_test"), **kwargs)
                self.assertRegex(self.failure(task_id), "^" + message)
        for args, message in [([[1]], "ValueError: result 0: "), ([{}], "TypeError: "), ([[], 0], "ValueError: top 0: ")]:
            with self.subTest(args=args):
                task_id = self.call("make_model", *args, options=("--queue", "celery_test"))
                self.assertRegex(self.failure(task_id), "^" + message)

    def test_a_module_without_a_dictionary_is_refused(self):
        for path in (self.path("none.dict"), self.write("broken.dict", "no dictionary")):
            done = self.run_command("worker", env={"HOTWORDS_DICT": path})
            self.assertEqual(done.returncode, 1)
            self.assertIn(path, done.stderr)
            self.assertIn("no dictionary: ", done.stderr)

    def test_wrong_usage_ends_with_2(self):
        self.assertIn("Try 'hotwords --help'.", self.hotwords("--levels", "450-1", status=2))

    def test_a_page_that_cannot_be_written_ends_with_1_after_the_ranking(self):
        self.job_worker()
        self.assertIn("hotwords: /proc/none.html: ", self.hotwords("--data", self.sample, "--report", "/proc/none.html", status=1))


class DemoTest(JobCase):
    def test_the_demo_ends_well_and_leaves_nothing_behind(self):
        os.mkdir(self.path("tmp"))
        build = support.path_of("CELERIAC_BUILD")
        demo = support.Process([support.path_of("HOTWORDS_DEMO"), build], self.dir, {**self.env, "TMPDIR": self.path("tmp")})
        self._processes.append(demo)
        self.assertEqual(demo.wait(), 0, demo.text)
        self.assertRegex(demo.text, r"(?m)^celery_test +4 +0 +0 +0$")
        self.assertRegex(demo.text, r"(?m)^ +20  \S+ +\d+  █+")
        self.assertIn("Warm shutdown", demo.text)
        self.assertEqual(os.listdir(self.path("tmp")), [])

    def test_an_interrupted_demo_ends_what_it_started(self):
        os.mkdir(self.path("tmp"))
        demo = support.Process([support.path_of("HOTWORDS_DEMO"), support.path_of("CELERIAC_BUILD")], self.dir,
                               {**self.env, "TMPDIR": self.path("tmp")})
        self._processes.append(demo)
        demo.expect(r"sent to the queue")
        started = demo.children()
        demo.signal(signal.SIGTERM)
        self.assertEqual(demo.wait(), 143, demo.text)
        support.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in started), "the demo's processes gone")
        self.assertEqual(os.listdir(self.path("tmp")), [])


if __name__ == "__main__":
    support.main()
