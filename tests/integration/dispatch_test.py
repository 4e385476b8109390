"""The dispatcher: `celeriac dispatch` and `rpc` on the embedded broker, and on RabbitMQ with results in Redis."""
import json
import os
import re
import subprocess
import sys
import uuid

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "celeriac.dispatch")
RABBIT = REDIS = None


def setUpModule():
    global RABBIT, REDIS  # pylint: disable=global-statement
    try:
        REDIS = redisserver.Server()
        RABBIT = rabbitmq.Server()
    except (rabbitmq.Missing, redisserver.Missing):
        tearDownModule()  # the embedded tests run nevertheless
        RABBIT = REDIS = None


def tearDownModule():
    for server in RABBIT, REDIS:
        if server is not None:
            server.close()


class DispatchCase(support.Case):
    def dispatcher(self, *words):
        return self.spawn("dispatch", "-l", "info", *words, kind=support.Worker).ready()

    def ask(self, flow, request, *options):
        """Returns the answer of a request that is not refused."""
        return json.loads(self.good("rpc", *options, flow, json.dumps(request)))

    def refusal(self, flow, request, *options):
        done = self.run_command("rpc", *options, flow, json.dumps(request) if not isinstance(request, str) else request)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        return done.stderr.strip().rsplit("\n", 1)[-1]  # before it, with --wait: the progress


class EmbeddedTest(DispatchCase):
    def test_a_request_is_answered_with_the_ids_of_what_was_sent(self):
        dispatcher = self.dispatcher()
        answer = self.ask("sums", {"numbers": [1, 2, 3]})
        self.assertEqual(sorted(answer), ["id", "parts"])
        self.assertEqual(len(answer["parts"]), 3)
        self.assertEqual(self.queue_length(), 3)
        self.worker("-c", "2")
        self.assertEqual(self.result(answer["id"]), "6")
        self.assertEqual([self.result(part) for part in answer["parts"]], ["1", "2", "3"])
        self.assertEqual(dispatcher.stop(), 0)

    def test_flows_of_any_shape_are_sent_where_they_belong(self):
        self.dispatcher()
        one = self.ask("adds", {"x": 1, "y": 2})
        many = self.ask("adds", {"x": 1, "y": 2, "times": 3, "queue": "elsewhere"})
        self.assertEqual(one["parts"], [])
        self.assertEqual(len(many["parts"]), 3)
        self.assertEqual((self.queue_length("adds"), self.queue_length("elsewhere")), (1, 3))
        self.worker("-c", "1", "-Q", "adds,elsewhere")
        self.assertEqual(self.result(one["id"]), "3")
        self.assertEqual(self.result(many["parts"][2]), "3")

    def test_wrong_requests_get_an_error_that_says_what_is_wrong(self):
        dispatcher = self.dispatcher()
        self.assertEqual(self.refusal("nope", {}), "Error: no flow 'nope'; there is: adds, sums")
        self.assertEqual(self.refusal("sums", {"numbers": []}), "Error: 'numbers' must be a list of 1 to 4096")
        self.assertEqual(self.refusal("sums", {"numbers": [1], "queue": 7}), "Error: 'queue' must be a string of 1 to 255 bytes")
        self.assertEqual(self.refusal("sums", {"numbers": [1], "queue": ""}), "Error: 'queue' must be a string of 1 to 255 bytes")
        self.assertEqual(self.refusal("sums", {"numbers": [1], "wait": 1}), "Error: 'wait' must be true or false")
        self.assertEqual(self.queue_length(), 0)
        self.assertEqual(self.queue_length("queue_rpc"), 0)
        self.assertEqual(dispatcher.stop(), 0)
        self.assertEqual(len(re.findall(r"WARNING/MainProcess\] Request \S+ refused: ", dispatcher.text)), 5)

    def test_a_request_waits_for_its_dispatcher(self):
        request = self.run_command("rpc", "-t", "0.5", "--correlation-id", "early", "sums", '{"numbers": [4, 5]}')
        self.assertEqual((request.returncode, request.stdout), (69, ""))
        self.assertIn("no answer from a dispatcher on the queue 'queue_rpc'", request.stderr)
        self.assertIn("early", request.stderr)
        self.assertEqual(self.queue_length("queue_rpc"), 1)
        dispatcher = self.dispatcher()
        dispatcher.expect(r"Request early: its reply queue is gone")
        self.assertEqual(self.queue_length(), 2)
        answer = self.ask("sums", {"numbers": [4, 5]}, "--correlation-id", "early")
        self.assertEqual(self.queue_length(), 2)
        self.worker("-c", "1")
        self.assertEqual(self.result(answer["id"]), "9")

    def test_a_repeated_request_is_answered_again_and_sends_nothing(self):
        first = self.dispatcher()
        answers = [self.ask("sums", {"numbers": [1, 2]}, "--correlation-id", "r1") for _ in range(2)]
        self.assertEqual(first.stop(), 0)
        second = self.dispatcher()
        answers.append(self.ask("sums", {"numbers": [1, 2]}, "--correlation-id", "r1"))
        self.assertEqual(answers[1:], answers[:1] * 2)
        self.assertEqual(self.queue_length(), 2)
        self.assertIn("used for a request with other parameters", self.refusal("sums", {"numbers": [3]}, "--correlation-id", "r1"))
        self.assertEqual(self.queue_length(), 2)
        known = {str(uuid.uuid5(SPACE, f"{n}:r1")) for n in range(1, 10)}
        self.assertLessEqual({answers[0]["id"], *answers[0]["parts"]}, known)
        self.assertEqual(second.stop(), 0)

    def test_who_waits_is_told_progress_and_result(self):
        self.dispatcher()
        self.worker("-c", "1")
        done = self.run_command("rpc", "--wait", "sums", '{"numbers": [1, 2, 3]}')
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["state"], answer["result"]), ("SUCCESS", 6))
        self.assertRegex(done.stderr, r"^sent as \S+\n(\d of 3 parts\n)*$")
        group = self.ask("adds", {"x": 2, "y": 3, "times": 2, "queue": "celery"}, "--wait")
        self.assertEqual(group["result"], [5, 5])
        single = self.ask("adds", {"x": 2, "y": 3, "queue": "celery"}, "--wait")
        self.assertEqual(single["result"], 5)

    def test_who_waits_is_told_of_a_failure(self):
        self.dispatcher()
        self.worker("-c", "1")
        self.assertRegex(self.refusal("sums", {"numbers": ["boom"], "task": "test.fail"}, "--wait"),
                         r"Error: ChordError: Dependency \S+ raised \w+\(")
        self.assertEqual(self.refusal("adds", {"x": 1, "queue": "celery"}, "--wait")[:17], "Error: TypeError:")

    def test_hostile_requests_are_dropped_and_the_dispatcher_stays(self):
        dispatcher = self.dispatcher()
        for body in "", "{", "[]", "null", "[[], {}, {}]", '{"flow": ["sums"]}', '{"flow": "' + "x" * 300 + '"}', "[" * 100000:
            self.query("INSERT INTO messages(queue, properties, headers, body) VALUES('queue_rpc', ?, '{}', ?)",
                         json.dumps({"correlation_id": "hostile", "reply_to": "nobody", "delivery_info": {"exchange": "", "routing_key": "q"},
                                     "content_type": "application/json", "content_encoding": "utf-8"}), body.encode())
        self.query("INSERT INTO messages(queue, properties, headers, body) VALUES('queue_rpc', '{}', '{}', ?)",
                     b'{"flow": "sums", "numbers": [1]}')
        support.wait_until(lambda: self.queue_length("queue_rpc") == 0, "all requests are taken")
        self.assertEqual(len(self.ask("sums", {"numbers": [1, 2]})["parts"]), 2)
        self.assertEqual(self.queue_length(), 3)  # one more without id and reply queue
        self.assertEqual(dispatcher.stop(), 0)

    def test_usage(self):
        self.assertIn("No flow is declared", self.run_command("-b", self.url, "dispatch", bare=True).stderr)
        self.assertEqual(self.run_command("rpc", "sums", "[1]").returncode, 2)
        self.assertEqual(self.run_command("rpc").returncode, 2)
        self.assertIn("at most", self.run_command("dispatch", "-Q", ",".join(map(str, range(300)))).stderr.lower())

    def test_without_a_result_store_the_latest_requests_are_remembered(self):
        self.globals = lambda: ["-b", self.url, "--result-backend", "disabled://", "-A", self.tasks]
        self.dispatcher()
        answers = [self.ask("adds", {"x": 1, "y": 2}, "--correlation-id", "m1") for _ in range(2)]
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(self.queue_length("adds"), 1)
        self.assertIn("a chord needs a result store", self.refusal("sums", {"numbers": [1]}))
        self.assertIn("'wait' needs a result store", self.refusal("adds", {"x": 1, "y": 2}, "--wait"))


class ServersTest(DispatchCase):
    hosts = iter(range(40))

    def setUp(self):
        if RABBIT is None:
            self.skipTest("RabbitMQ or Redis is not installed")
        super().setUp()
        REDIS.cli("FLUSHALL")
        self.broker = RABBIT.url(f"t{next(ServersTest.hosts)}")
        self.store = REDIS.url()

    def globals(self):
        return ["-b", self.broker, "--result-backend", self.store, "-A", self.tasks]

    def test_any_amqp_program_can_ask(self):
        guide = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/guide.md")
        with open(guide, encoding="utf-8") as file:
            code = re.search(r"^```python\n(import json.*?kombu.*?)^```", file.read(), re.M | re.S).group(1)
        self.assertLessEqual(len(code.splitlines()), 25)
        url = "amqp://root:root@127.0.0.1/dispatch_server_host"
        self.assertIn(url, code)
        code = code.replace(url, self.broker).replace('"flow": "hot_words", "dates": ["20200406"], "levels": [[1, 450]]',
                                                      '"flow": "sums", "numbers": [20, 22]')
        self.assertIn('"sums"', code)
        dispatcher = self.dispatcher()
        self.worker("-c", "1")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=support.TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(self.result(answer["id"]), "42")
        self.assertEqual(dispatcher.stop(), 0)

    def test_killed_anywhere_a_request_is_sent_once_and_answered(self):
        """The dispatcher is killed again and again while requests come in; each asks until it is answered."""
        def ask(n):
            return self.spawn("rpc", "--correlation-id", f"k{n}", "-t", "60", "sums", json.dumps({"numbers": [n, n]}))
        clients = []
        for n in range(12):
            dispatcher = self.spawn("dispatch", "-l", "info")
            clients.append(ask(n))
            clients.append(ask(n))  # the same one twice, at once
            if n % 3 == 0:
                dispatcher.expect(r" ready\.$")
            elif n % 3 == 1:
                dispatcher.expect(r"Request k\d+: flow sums sent as ")
            else:
                support.wait_until(lambda d=dispatcher: "Request" in d.text or d.popen.poll() is not None, "a request")
            dispatcher.kill()
        self.dispatcher()
        answers = []
        for client in clients:
            self.assertEqual(client.wait(), 0, client.text)
            answers.append(json.loads(client.stdout[0]))
        for n in range(12):
            self.assertEqual(answers[2 * n], answers[2 * n + 1])
        self.worker("-c", "2")
        for n in range(12):
            self.assertEqual(self.result(answers[2 * n]["id"]), str(2 * n))
        self.assertEqual(len(REDIS.keys("celery-task-meta-*")), 36)

    def test_a_store_that_is_down_delays_the_answer(self):
        dispatcher = self.dispatcher()
        self.ask("sums", {"numbers": [1]})
        REDIS.kill()
        client = self.spawn("rpc", "-t", "60", "--correlation-id", "down", "sums", '{"numbers": [1, 2]}')
        dispatcher.expect(r"Request down: .*, trying again: ")
        REDIS.start()
        self.assertEqual(client.wait(), 0, client.text)
        self.assertEqual(len(json.loads(client.stdout[0])["parts"]), 2)
        self.assertEqual(dispatcher.stop(), 0)

    def test_a_broker_that_comes_back_is_served_again(self):
        dispatcher = self.dispatcher()
        self.ask("sums", {"numbers": [1]})
        self.assertEqual(self.run_command("rpc", "-Q", "kept", "-t", "0.5", "sums", '{"numbers": [1]}').returncode, 69)
        RABBIT.kill()
        dispatcher.expect(r"the broker is out of reach")
        RABBIT.start()
        dispatcher.expect(r"the broker is reachable again")
        self.assertEqual(len(self.ask("sums", {"numbers": [1, 2]})["parts"]), 2)
        self.assertEqual(dispatcher.stop(), 0)
        self.dispatcher("-Q", "kept").expect(r"Request \S+: its reply queue is gone")  # queue and request have survived

    def test_what_is_remembered_expires(self):
        dispatcher = self.dispatcher("-Q", "asks")
        self.ask("sums", {"numbers": [1]}, "-Q", "asks", "--correlation-id", "e")
        key = f"celery-taskset-meta-{uuid.uuid5(SPACE, '0:e')}"
        self.assertIn(key, REDIS.keys())
        self.assertGreater(int(REDIS.cli("TTL", key)), 0)
        self.assertEqual(dispatcher.stop(), 0)


if __name__ == "__main__":
    support.main()
