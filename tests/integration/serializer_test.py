"""Content types, compressions and signatures between ours and Python's Celery, in both directions, on a private Redis (broker and
results)."""
import datetime
import json
import os
import subprocess
import sys
import unittest

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

try:
    import brotli  # noqa: F401  pylint: disable=unused-import
    import msgpack
    import yaml
    import zstandard  # noqa: F401  pylint: disable=unused-import
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    MISSING = None
except ImportError as missing:
    MISSING = str(missing)

SERVER = None
FORMS = ["json", "yaml", "msgpack"]
COMPRESSIONS = [None, "zlib", "bzip2", "lzma", "brotli", "zstd"]
VALUE = {"text": "h\u00e9 \U0001f600 yes", "list": [1, -2.5, True, None, "1", "2001-12-14", 2 ** 40], "nested": {"": [[], {}]},
         "long": "line\n" * 200}

# The settings are one file for both: `celeryconfig.py`. KEYS sets the serializer auth up in Python.
PROJECT = '''
import base64, json, os
from celery import Celery, chord, group, signature

app = Celery("project")
app.config_from_object("celeryconfig")
app.conf.broker_connection_retry = False
if os.environ.get("TEST_AUTH"):
    app.setup_security()


@app.task(name="py.echo")
def echo(value):
    return value


@app.task(name="py.sum")
def total(numbers):
    return sum(numbers)


@app.task(name="py.kind")
def kind(value):
    return type(value).__name__


@app.task(name="py.fail")
def fail(text):
    raise ValueError(text)


def sig(name, *args, **options):
    return signature(name, args, app=app, **options)
'''


def setUpModule():
    global SERVER  # pylint: disable=global-statement
    if MISSING:
        raise unittest.SkipTest(f"a module of Python is not there: {MISSING}")
    try:
        SERVER = redisserver.Server()
    except redisserver.Missing as missing:
        raise unittest.SkipTest(str(missing)) from None


def tearDownModule():
    if SERVER is not None:
        SERVER.close()


class SerializerCase(support.Case):
    python_queue = "py"

    def setUp(self):
        super().setUp()
        SERVER.cli("FLUSHALL")
        self.broker, self.backend = SERVER.url(0), SERVER.url(1)
        self.write("project.py", PROJECT)
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"
        self.configure()

    def configure(self, **settings):
        """What all that is started from now on is configured with."""
        settings = {"accept_content": FORMS, "broker_url": self.broker, "result_backend": self.backend, **settings}
        self.write("celeryconfig.py", "".join(f"{name} = {value!r}\n" for name, value in settings.items()))

    def globals(self):
        return ["-A", self.tasks]

    def canvas(self, signature, exit_status=0):
        """Sends it with our client and waits; returns the value, or what it says of the failure."""
        client = subprocess.run([support.path_of("CEL_TESTCLIENT"), "-c", self.path("celeryconfig.py"), "-t", str(support.TIMEOUT),
                                 self.broker, self.backend], cwd=self.dir, env=self.env, input=json.dumps(signature), text=True,
                                capture_output=True, timeout=support.TIMEOUT, check=False)
        self.assertEqual(client.returncode, exit_status, client.stdout + client.stderr)
        last = json.loads(client.stdout.splitlines()[-1])
        return last if exit_status else last["value"]


def sig(task, *args, **options):
    return {"task": task, "args": list(args), "kwargs": {}, "options": options, "subtask_type": None, "immutable": False}


def group(*tasks):
    return {"task": "celery.group", "args": [], "kwargs": {"tasks": list(tasks)}, "options": {}, "subtask_type": "group",
            "immutable": False}


def chord(header, body):
    return {"task": "celery.chord", "args": [], "kwargs": {"kwargs": {}, "header": header, "body": body}, "options": {},
            "subtask_type": "chord", "immutable": False}


class MessagesTest(SerializerCase):
    def test_python_sends_and_our_worker_reads_each_form_in_each_compression(self):
        worker = self.worker("-c", "2")
        values = self.python(f"""
value = json.loads({json.dumps(json.dumps(VALUE))})
sent = [sig("test.echo", value).apply_async(serializer=form, compression=compression)
        for form in {FORMS!r} for compression in {COMPRESSIONS!r}]
for result in sent:
    print(json.dumps(result.get(timeout=60)))
raw = sig("test.echo", bytes([255, 0])).apply_async(serializer="msgpack")
print(json.dumps(raw.get(timeout=60)))
raw = sig("test.echo", b"abc").apply_async(serializer="yaml")
print(json.dumps(raw.get(timeout=60)))
""")
        self.assertEqual([json.loads(value) for value in values[:-2]], [VALUE] * (len(FORMS) * len(COMPRESSIONS)))
        self.assertEqual(json.loads(values[-2]), {"__type__": "base64", "__value__": "/wA="})
        self.assertEqual(json.loads(values[-1]), {"__type__": "bytes", "__value__": "abc"})
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL")

    def test_our_client_sends_and_pythons_worker_reads_each_form_in_each_compression(self):
        worker = self.python_worker()
        got = self.canvas(group(*[sig("py.echo", VALUE, queue="py", serializer=form, **({"compression": name} if name else {}))
                                  for form in FORMS for name in COMPRESSIONS]))
        self.assertEqual(got, [VALUE] * (len(FORMS) * len(COMPRESSIONS)))
        self.configure(task_serializer="msgpack", task_compression="zstd")
        body = {"__type__": "base64", "__value__": "/wA="}
        self.assertEqual(self.canvas(sig("py.kind", body, queue="py")), "bytes")
        self.assertNotIn("CRITICAL", worker.text)

    def test_a_chain_and_a_retry_stay_in_their_form_across_both(self):
        self.configure(task_serializer="msgpack", task_compression="lzma")
        self.worker("-c", "2")
        self.python_worker()
        self.assertEqual(self.python("""
print((sig("test.add", 1, 2) | sig("py.echo", queue="py") | sig("test.add", 4)).apply_async().get(timeout=60))
"""), ["7"])
        self.configure(task_serializer="yaml", task_compression=None)
        self.assertEqual(self.python("app.conf.task_protocol = 1\nprint(sig('test.add', 2, 3).apply_async().get(timeout=60))"), ["5"])
        self.assertEqual(self.python("""
app.conf.task_protocol = 1
print(sig('test.add', 2, 3).apply_async(serializer='msgpack', compression='bzip2').get(timeout=60))"""), ["5"])

    def test_what_is_not_accepted_is_rejected_and_logged(self):
        self.configure(accept_content=["json"])
        worker = self.worker("-c", "1")
        ids = self.python("""
app.conf.accept_content = ["json", "yaml", "msgpack", "pickle"]
print(sig("test.echo", 1).apply_async(serializer="yaml").id)
print(sig("test.echo", 1).apply_async(serializer="pickle").id)
print(sig("test.echo", 1).apply_async(serializer="json").get(timeout=60))
""")
        worker.expect(rf"Received and rejected .*test\.echo\[{ids[0]}\].*application/x-yaml.* accept_content does not have 'yaml'")
        worker.expect(rf"Received and rejected .*{ids[1]}.*\(pickle\) is refused.*set task_serializer to 'json', 'yaml' or 'msgpack'")
        self.assertEqual(ids[2], "1")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(SERVER.cli("HLEN", "unacked", db=0), "0")
        self.assertEqual(SERVER.keys("celery-task-meta-" + ids[0]), [])

    def test_a_configuration_that_cannot_work_says_why(self):
        for settings, why in [({"task_serializer": "pickle"}, r"pickle is refused.*use 'json', 'yaml' or 'msgpack'"),
                              ({"result_serializer": "xml"}, r"result_serializer: there is no serializer 'xml'"),
                              ({"accept_content": ["auth"]}, r"'auth' needs security_cert_store"),
                              ({"task_serializer": "auth"}, r"'auth' needs security_key and security_certificate")]:
            self.configure(**settings)
            done = self.run_command("call", "test.add")
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, why)


class ResultsTest(SerializerCase):
    def check_form(self, form, read):
        self.configure(task_serializer="msgpack", result_serializer=form)  # Python has no YAML for signatures
        self.worker("-c", "2", name=f"{form}@test")
        python = self.python_worker()
        ours = "ours-" + form
        self.assertEqual(self.canvas(sig("test.echo", VALUE, task_id=ours)), VALUE)
        stored = self.raw(ours)
        meta = read(stored)
        self.assertEqual((meta["status"], meta["result"], meta["task_id"]), ("SUCCESS", VALUE, ours))
        theirs = self.python(f"""
print(app.AsyncResult({ours!r}).get(timeout=60)["list"][0])
print(sig("py.echo", [1, "x"], queue="py").apply_async().id)
try:
    sig("test.fail", "boom").apply_async().get(timeout=60)
except Exception as error:
    print(type(error).__name__)
header = [sig("test.add", n, 0, queue="celery") if n % 2 else sig("py.echo", n, queue="py") for n in range(6)]
print(chord(header, sig("test.xsum"), app=app)().get(timeout=60))
print(chord(header, sig("py.sum", queue="py"), app=app)().get(timeout=60))
""")
        self.assertEqual((theirs[0], *theirs[2:]), ("1", "ValueError", "15", "15"))
        self.assertEqual(self.result(theirs[1]), "[1, 'x']")
        mixed = [sig("test.add", 1, 2), sig("py.echo", 4, queue="py")]
        self.assertEqual(self.canvas(chord(mixed, sig("py.sum", queue="py"))), 7)
        self.assertEqual(self.canvas(chord(mixed, sig("test.xsum"))), 7)
        self.assertIn("ValueError", self.canvas(sig("py.fail", "x", queue="py"), exit_status=1)["type"])
        self.assertNotIn("CRITICAL", python.text)
        SERVER.cli("FLUSHALL")

    def raw(self, task_id):
        """The bytes of the result."""
        done = subprocess.run(["redis-cli", "-p", str(SERVER.port), "-n", "1", "--no-auth-warning", "--raw", "GET",
                               "celery-task-meta-" + task_id], env={**os.environ, "REDISCLI_AUTH": redisserver.PASSWORD},
                              capture_output=True, check=True)
        return done.stdout[:-1]

    def test_results_in_yaml_are_for_both(self):
        self.check_form("yaml", yaml.safe_load)

    def test_results_in_msgpack_are_for_both(self):
        self.check_form("msgpack", lambda stored: msgpack.unpackb(stored, raw=False))

    def test_a_success_is_not_replaced_in_any_form(self):
        for form in FORMS:
            self.configure(result_serializer=form, task_serializer=form)
            worker = self.worker("-c", "1", name=f"{form}@test")
            task_id = f"same-{form}"
            self.assertEqual(self.canvas(sig("test.echo", "first", task_id=task_id)), "first")
            kept = self.raw(task_id)
            self.canvas(sig("test.fail", "second", task_id=task_id))
            worker.expect(rf"Task test\.fail\[{task_id}\] raised")
            self.assertEqual(worker.stop(), 0)
            self.assertEqual(self.raw(task_id), kept)


class SignedTest(SerializerCase):
    def make_key(self, name, days=30):
        """A key and a certificate of its own; the certificate is also in `store`."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        names = x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "SE"), x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        certificate = (x509.CertificateBuilder().subject_name(names).issuer_name(names).public_key(key.public_key())
                       .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=60))
                       .not_valid_after(now + datetime.timedelta(days=days)).sign(key, hashes.SHA256()))
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.write(name + ".key", pem.decode())
        return self.write(name + ".pem", certificate.public_bytes(serialization.Encoding.PEM).decode())

    def trust(self, *names):
        os.makedirs(self.path("store"), exist_ok=True)
        for old in os.listdir(self.path("store")):
            os.unlink(os.path.join(self.path("store"), old))
        for name in names:
            self.write(os.path.join("store", name + ".pem"), self.read(name + ".pem"))

    def sign(self, name, **settings):
        self.configure(task_serializer="auth", accept_content=["auth"], result_accept_content=["json"], security_key=self.path(name + ".key"),
                       security_certificate=self.path(name + ".pem"), security_cert_store=self.path("store"), **settings)

    def test_signed_tasks_go_both_ways_and_forged_ones_do_not(self):
        for name in ("alice", "bob", "mallory"):
            self.make_key(name)
        self.trust("alice", "bob")
        self.sign("alice")
        self.python_worker(TEST_AUTH="1")
        worker = self.worker("-c", "1")
        self.sign("bob")
        self.assertEqual(self.canvas(group(sig("py.echo", VALUE, queue="py"), sig("py.echo", 1, queue="py", compression="zlib"),
                                           sig("test.echo", VALUE))), [VALUE, 1, VALUE])
        self.assertEqual(self.python("""
print(sig("test.add", 2, 3).apply_async().get(timeout=60))
print(sig("test.add", 2, 3).apply_async(compression="bzip2").get(timeout=60))
print((sig("test.add", 2, 3) | sig("py.echo", queue="py") | sig("test.add", 1)).apply_async().get(timeout=60))
""", TEST_AUTH="1"), ["5", "5", "6"])
        self.sign("alice", security_layout="5.5")
        self.assertEqual(self.value_of("test.add", 1, 1), "2")
        self.sign("mallory")
        forged = self.call("test.add", 1, 1)
        worker.expect(rf"rejected .*{forged}.*signed by 'SE mallory \d+', of whom security_cert_store has no certificate")
        self.sign("bob")
        tampered, plain = self.python("""
from kombu import Producer
from kombu.serialization import dumps
import uuid
with app.pool.acquire() as connection:
    form, _, body = dumps([[1, 1], {}, {}], "auth")
    raw = bytearray(base64.b64decode(body))
    raw[-3] ^= 1
    for text, kind in ((base64.b64encode(bytes(raw)).decode(), form), ("[[1, 1], {}, {}]", "application/json")):
        id = str(uuid.uuid4())
        Producer(connection).publish(text, routing_key="celery", exchange="", content_type=kind, content_encoding="utf-8",
                                     headers={"task": "test.add", "id": id}, correlation_id=id)
        print(id)
""", TEST_AUTH="1")
        worker.expect(rf"rejected .*{tampered}.*the signature of 'SE bob \d+' is wrong")
        worker.expect(rf"rejected .*{plain}.*'application/json' is not accepted")
        self.assertEqual(self.value_of("test.add", 4, 4), "8")
        self.assertEqual(SERVER.keys("celery-task-meta-" + forged), [])

    def value_of(self, task, *args):
        return self.result(self.call(task, *args))

    def test_an_expired_certificate_is_not_trusted(self):
        self.make_key("alice")
        self.make_key("old", days=-1)
        self.trust("alice", "old")
        self.sign("alice")
        done = self.run_command("worker")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"security_cert_store: .*old\.pem: the certificate of 'SE old \d+' has expired")
        self.trust()
        self.assertRegex(self.run_command("worker").stderr, r"security_cert_store: no certificate in ")

    def test_results_may_be_signed_too(self):
        self.make_key("alice")
        self.trust("alice")
        self.sign("alice", result_serializer="auth")
        settings = self.read("celeryconfig.py").replace("result_accept_content = ['json']", "result_accept_content = ['auth']")
        self.write("celeryconfig.py", settings)
        self.worker("-c", "1")
        self.python_worker(TEST_AUTH="1")
        self.assertEqual(self.value_of("test.add", 2, 3), "5")
        self.assertEqual(self.python("print(sig('test.add', 2, 3).apply_async().get(timeout=60))", TEST_AUTH="1"), ["5"])
        self.assertEqual(self.canvas(chord([sig("test.add", 1, 2), sig("py.echo", 4, queue="py")], sig("test.xsum"))), 7)


if __name__ == "__main__":
    support.main()
