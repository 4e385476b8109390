"""The user's flow, verbatim, on private servers: parameters to queue_rpc, four messages that wait in celery_test, a worker, five results."""
import json
import os
import subprocess
import sys
import unittest
import uuid

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

try:
    import kombu
except ImportError:
    kombu = None

VHOST = "dispatch_server_host"
RABBIT = REDIS = None

CONFIG = '''
BROKER_URL = 'amqp://root:root@127.0.0.1:{rabbit}/dispatch_server_host'
CELERY_RESULT_BACKEND = "redis://:password@127.0.0.1:{redis}/1"
CELERY_INCLUDE = ['hotwords', 'python.tasks.of.others']
'''

# What the user's own program reads the results with.
READER = '''
import json, sys
from celery import Celery
app = Celery("main")
app.config_from_object("celeryconfig")
app.conf.include = []
print(json.dumps([[app.AsyncResult(i).state, app.AsyncResult(i).get(timeout=10)] for i in sys.argv[1:]]))
'''


def setUpModule():
    global RABBIT, REDIS  # pylint: disable=global-statement
    if kombu is None:
        raise unittest.SkipTest("python3-kombu is not installed")
    try:
        REDIS = redisserver.Server()
        RABBIT = rabbitmq.Server()
    except (rabbitmq.Missing, redisserver.Missing) as missing:
        tearDownModule()
        raise unittest.SkipTest(str(missing)) from None


def tearDownModule():
    for server in RABBIT, REDIS:
        if server is not None:
            server.close()


class FlowTest(support.Case):
    def setUp(self):
        super().setUp()
        self.module_path = support.path_of("HOTWORDS_MODULE")
        self.sample = support.path_of("HOTWORDS_SAMPLE")
        self.env.update(CELERIAC_PATH=os.path.dirname(self.module_path), PYTHONDONTWRITEBYTECODE="1")
        self.env = {key: value for key, value in self.env.items() if not key.startswith("HOTWORDS_")}
        self.write("celeryconfig.py", CONFIG.format(rabbit=RABBIT.port, redis=REDIS.port))

    def globals(self):
        return ["-A", "hotwords", "--config", "celeryconfig"]

    def request(self, channel, body, correlation_id):
        """Publishes to queue_rpc as any AMQP program may, and returns the reply."""
        replies = kombu.Queue(str(uuid.uuid4()), exclusive=True, durable=False, auto_delete=True)(channel)
        replies.declare()
        kombu.Producer(channel).publish(body, routing_key="queue_rpc", serializer="json", reply_to=replies.name,
                                        correlation_id=correlation_id)
        got = support.wait_until(lambda: replies.get(no_ack=True), "a reply")
        self.assertEqual(got.properties["correlation_id"], correlation_id)
        self.assertEqual(got.content_type, "application/json")
        return got.payload

    def waiting(self, channel):
        """The messages in celery_test, which stay there."""
        queue = kombu.Queue("celery_test")(channel)
        messages = []
        while True:
            message = queue.get()
            if message is None:
                break
            messages.append(message)
        for message in messages:
            message.requeue()
        return messages

    def test_the_users_flow(self):
        dispatcher = self.spawn("dispatch", "-Q", "queue_rpc", "-l", "info", kind=support.Worker).ready()
        parameters = {"dates": ["20200406", "20200407"], "levels": [[1, 450], [451, 900]], "top": 100}
        with kombu.Connection(f"amqp://root:root@127.0.0.1:{RABBIT.port}/{VHOST}") as connection:
            channel = connection.channel()
            self.assertEqual(self.request(channel, {**parameters, "levels": [[1, 450], [450, 900]]}, "bad").keys(), {"error"})
            answer = self.request(channel, parameters, "user-1")  # "flow" may be left out: the module has one
            self.assertEqual(self.request(channel, {**parameters, "flow": "hot_words"}, "user-1"), answer)
            self.assertEqual(list(answer), ["id", "parts"])

            # Four messages with one group id wait while no worker runs; nothing is in Redis db 1 but what the dispatcher remembers.
            messages = self.waiting(channel)
            self.assertEqual([message.headers["task"] for message in messages], ["make_result_str"] * 4)
            self.assertEqual([message.headers["id"] for message in messages], answer["parts"])
            self.assertEqual(len({message.headers["group"] for message in messages}), 1)
            self.assertEqual([message.headers["group_index"] for message in messages], [0, 1, 2, 3])
            self.assertEqual([message.payload[0][:3] for message in messages],
                             [["20200406", 1, 450], ["20200406", 451, 900], ["20200407", 1, 450], ["20200407", 451, 900]])
            self.assertEqual({message.properties["delivery_mode"] for message in messages}, {2})
            support.wait_until(lambda: kombu.Queue("celery_test")(channel).queue_declare(passive=True).message_count == 4,
                               "all four are back in the queue")
            self.assertEqual(REDIS.keys("celery-task-meta-*"), [])

        # celeriac -A hotwords worker -n celery_test -c 4 -l info -Q celery_test
        worker = self.worker("-c", "4", "-Q", "celery_test", name="celery_test")
        ids = [*answer["parts"], answer["id"]]
        worker.expect(r"Task make_model\[" + answer["id"] + r"\] succeeded in ")
        self.assertEqual(REDIS.keys("celery-task-meta-*"), sorted(f"celery-task-meta-{task_id}" for task_id in ids))
        for key in REDIS.keys():
            self.assertGreater(int(REDIS.cli("TTL", key)), 0, key)

        # Each is found by its id, by Python and by us, and says what is true.
        done = subprocess.run([sys.executable, "-c", READER, *ids], cwd=self.dir, env=self.env, capture_output=True, text=True,
                              timeout=support.TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        states, results = zip(*json.loads(done.stdout))
        self.assertEqual(set(states), {"SUCCESS"})
        with open(os.path.join(self.sample, "expected.json"), encoding="utf-8") as file:
            expected = json.load(file)
        for got, want in zip([*results[4]["partitions"], results[4]["merged"]], [*expected["partitions"], expected["merged"]]):
            self.assertEqual({key: value for key, value in got.items() if key != "bad_records"}, want)
        for task_id in ids:
            self.assertTrue(self.result(task_id))

        self.assertEqual(worker.stop(), 0)
        self.assertEqual(dispatcher.stop(), 0)
        self.assertEqual(len(REDIS.keys("celery-task-meta-*")), 5)
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")
        self.assertIn("include: no shared object 'python.tasks.of.others': left to workers in Python", worker.text)

    def test_the_demonstration_shows_every_step(self):
        script, build = support.path_of("HOTWORDS_DEMO_SERVERS"), support.path_of("CELERIAC_BUILD")
        done = subprocess.run([script, build], cwd=self.dir, env=self.env, capture_output=True, text=True, timeout=200, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("celery_test\t4\ttrue", done.stdout)
        self.assertEqual(done.stdout.count("\ncelery-task-meta-"), 5)
        self.assertIn("4 of 4 parts", done.stderr)


if __name__ == "__main__":
    support.main()
