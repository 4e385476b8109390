#!/usr/bin/python3
"""Records what Celery itself writes, as vectors for the C tests.

Run with a Python that has Celery 5.2: ./record.py. It writes messages.json, results.json,
exceptions.json and reprs.json beside itself. Ids, times and host names are fixed, so a second run with
the same releases writes the same bytes: ./record.py --check writes nothing and tells whether that holds;
it exits with 77, a skip for meson, where another Celery or none is installed."""

import datetime
import itertools
import json
import os
import random
import sys
import uuid

# Before Celery and kombu bind uuid4 as a default argument: identifiers that count.
_ids = itertools.count(1)
uuid.uuid4 = lambda: uuid.UUID(int=next(_ids))

try:
    import celery  # noqa: E402
    import kombu  # noqa: E402
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)

import celery.app.amqp  # noqa: E402
import celery.backends.base  # noqa: E402
from celery import chain, chord, group, states  # noqa: E402
from celery.app.task import Context  # noqa: E402
from celery.backends.base import KeyValueStoreBackend  # noqa: E402
from celery.exceptions import (ChordError, MaxRetriesExceededError, NotRegistered,  # noqa: E402
                               SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded,
                               WorkerLostError)
from celery.utils.saferepr import saferepr  # noqa: E402
from kombu.transport import virtual  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 11, 23, 3, 1, 14, 105188, tzinfo=UTC)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment):
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


class FixedApp(celery.Celery):
    thread_oid = oid = 'REPLY-TO'

    def now(self):
        return NOW


celery.app.amqp.anon_nodename = lambda: 'gen1@vm'

app = FixedApp('vectors', broker='memory://', backend='cache+memory://')
app.conf.task_default_queue = 'vq'


@app.task(name='proj.add', typing=False)
def add(x, y):
    return x + y


@app.task(name='proj.tsum', typing=False)
def tsum(numbers):
    return sum(numbers)


# ---- messages ----

published = []


def capture(self, message, exchange, routing_key, **kwargs):
    published.append((message, exchange, routing_key))


virtual.Channel.basic_publish = capture


def embedded(body, key):
    value = body.get(key)
    return None if value in (None, []) else json.dumps(value)


def expectation(headers, body):
    """What a reader must find, in a flat form."""
    fields = headers if 'task' in headers else body
    if isinstance(body, dict):
        args, kwargs, embed = body['args'], body['kwargs'], body
    else:
        args, kwargs, embed = body
    expect = {name: fields.get(name) for name in
              ('task', 'id', 'shadow', 'group', 'group_index', 'retries', 'timelimit', 'root_id',
               'parent_id', 'origin', 'ignore_result')}
    for name in ('eta', 'expires'):
        text = fields.get(name)
        expect[name + '_us'] = micros(datetime.datetime.fromisoformat(text)) if text else None
    expect['args'] = json.dumps(args)
    expect['kwargs'] = json.dumps(kwargs)
    for name in ('callbacks', 'errbacks', 'chain', 'chord'):
        expect[name] = embedded(embed, name)
    return expect


def vector(name, number, published_one, custom, rewrite, keep_reprs):
    message, exchange, routing_key = published_one
    wire = message['body'].encode() if isinstance(message['body'], str) else message['body']
    plain = wire
    compression = message['headers'].get('compression')
    if compression:
        plain = kombu.compression.decompress(wire, compression)
    body = json.loads(plain)
    properties = dict(message['properties'])
    properties['delivery_info'] = {'exchange': exchange, 'routing_key': routing_key}
    one = {
        'name': '%s %d' % (name, number) if number else name,
        'protocol': 2 if 'task' in message['headers'] else 1,
        'rewrite': rewrite and 'task' in message['headers'],
        'keep_reprs': keep_reprs,
        'content_type': message['content-type'],
        'content_encoding': message['content-encoding'],
        'properties': json.dumps(properties),
        'headers': json.dumps(message['headers']),
        'custom': json.dumps(custom) if custom else None,
        'compression': compression,
        'now_us': micros(NOW),
        'expect': expectation(message['headers'], body),
    }
    if compression:
        one['body_hex'] = wire.hex()
    else:
        one['body'] = wire.decode()
    return one


vectors = []


def record(name, send, custom=None, rewrite=True, keep_reprs=False):
    """rewrite: our writer must reproduce it from what our reader found; keep_reprs: but not argsrepr and
    kwargsrepr, since they show tuples that JSON does not know or were given by the caller."""
    published.clear()
    send()
    assert published, name
    for number, one in enumerate(published):
        vectors.append(vector(name, number if len(published) > 1 else 0, one, custom, rewrite,
                              keep_reprs))


def record_messages():
    later = datetime.datetime(2026, 11, 24, 1, 2, 3, 4, tzinfo=UTC)
    record('plain', lambda: add.delay(2, 3))
    record('no arguments', lambda: add.apply_async())
    record('keyword arguments', lambda: add.apply_async((), {'x': 2, 'y': 'three'}))
    record('not ASCII', lambda: add.delay('h\xe9llo \u20ac \U0001f600', {'k\xe9y': '\x7f\x00\x1f'}))
    record('quotes', lambda: add.delay('it\'s "quoted" \\ and\nmore', "'"))
    record('big integers', lambda: add.delay(2 ** 70, -2 ** 63))
    record('reals', lambda: add.delay([1.0, 0.1, 1e16, 1e-5, 1.5e300, -0.0, 5e-324], 1e22))
    record('not numbers', lambda: add.delay([float('nan'), float('inf')], -float('inf')))
    record('a lone surrogate', lambda: add.delay('\ud800', 'x\udfff'))
    record('nested', lambda: add.delay([[[[[1]]]], {'a': {'b': {'c': {'d': 1}}}}], None))
    record('long text', lambda: add.delay('lorem ipsum ' * 200, 'x' * 3000))
    record('many arguments', lambda: add.apply_async(tuple(range(500))))
    record('eta', lambda: add.apply_async((1, 2), eta=later))
    record('eta with another offset', lambda: add.apply_async((1, 2), eta=later.astimezone(
        datetime.timezone(datetime.timedelta(hours=5, minutes=30)))), rewrite=False)
    record('naive eta', lambda: add.apply_async((1, 2), eta=later.replace(tzinfo=None)), rewrite=False)
    record('countdown', lambda: add.apply_async((1, 2), countdown=10))
    record('negative countdown', lambda: add.apply_async((1, 2), countdown=-10.5))
    record('whole second', lambda: add.apply_async((1, 2), eta=later.replace(microsecond=0)))
    record('expires', lambda: add.apply_async((1, 2), expires=60))
    record('expires at a time', lambda: add.apply_async((1, 2), expires=later))
    record('expired', lambda: add.apply_async((1, 2), expires=NOW - datetime.timedelta(seconds=5)))
    record('time limits', lambda: add.apply_async((1, 2), time_limit=30, soft_time_limit=2.5))
    record('hard limit', lambda: add.apply_async((1, 2), time_limit=30))
    record('priority', lambda: add.apply_async((1, 2), priority=9))
    record('transient', lambda: add.apply_async((1, 2), delivery_mode=1))
    record('ignored result', lambda: add.apply_async((1, 2), ignore_result=True))
    record('shadow', lambda: add.apply_async((1, 2), shadow='sh\xe4dow'))
    record('own id', lambda: add.apply_async((1, 2), task_id='my id "1"'))
    record('custom headers', lambda: add.apply_async((1, 2), headers={'tenant': 't1', 'n': [1, {'a': 1.5}]}),
           custom={'tenant': 't1', 'n': [1, {'a': 1.5}]})
    record('hidden arguments', lambda: add.apply_async((1, 2), argsrepr='(***)', kwargsrepr='{***}'),
           keep_reprs=True)
    record('retried', lambda: add.apply_async((1, 2), retries=3, root_id='R', parent_id='P'))
    record('zlib', lambda: add.apply_async((1, 'x' * 500), compression='zlib'))
    record('link', lambda: add.apply_async((1, 2), link=add.s(3)))
    record('links', lambda: add.apply_async((1, 2), link=[add.s(3), add.si(4, 5)], link_error=tsum.s()))
    record('chain', lambda: chain(add.s(1, 2), add.s(3), add.s(4).set(queue='other')).apply_async())
    record('group', lambda: group(add.s(i, i) for i in range(3)).apply_async())
    record('chord', lambda: chord([add.s(i, i) for i in range(3)], tsum.s()).apply_async())
    record('chain of groups', lambda: chain(add.s(1, 2), group(add.s(1), add.s(2)), tsum.s()).apply_async())
    record('map', lambda: add.map([1, 2]).apply_async(), keep_reprs=True)
    record('starmap', lambda: add.starmap([[1, 2], [3, 4]]).apply_async(), keep_reprs=True)
    record('chunks', lambda: add.chunks(zip(range(4), range(4)), 2).apply_async(), keep_reprs=True)
    app.conf.task_protocol = 1
    del app.amqp
    record('protocol 1', lambda: add.apply_async((2, 3), {'k': '\xe9'}))
    record('protocol 1, eta', lambda: add.apply_async((2, 3), eta=later, expires=60, retries=2))
    record('protocol 1, links', lambda: add.apply_async((2, 3), link=add.s(1), link_error=tsum.s()))
    record('protocol 1, zlib', lambda: add.apply_async((2, 'x' * 300), compression='zlib'))
    record('protocol 1, chain', lambda: chain(add.s(1, 2), add.s(3)).apply_async())


# ---- results ----

class FixedDatetime(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return NOW.replace(tzinfo=None)


class DictBackend(KeyValueStoreBackend):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.stored = {}

    def get(self, key):
        return None

    def set(self, key, value):
        self.stored['last'] = value


class Outer:
    class InnerError(Exception):
        pass


EXCEPTIONS = [
    ValueError('boom', 42), ValueError(), ValueError('it\'s'), ValueError('a "b" \'c\' \\ \n\t\x01\x7f\xa0\u200b'),
    ValueError(None), ValueError(1.0), ValueError(1e16), ValueError([1, 'a', None]), ValueError({'a': [True]}),
    ValueError('h\xe9llo \U0001f600'), ValueError(2 ** 70), ValueError([]), ValueError(''),
    KeyError('x'), KeyError('x', 1), KeyError(5), KeyError(), IndexError('list index out of range'),
    FileNotFoundError(2, 'No such file or directory'), PermissionError(13, 'Permission denied'), OSError('x'),
    ConnectionRefusedError(111, 'Connection refused'), TimeoutError('late'), OSError(5, None), OSError(),
    ZeroDivisionError('division by zero'), StopIteration(), RuntimeError('a', 'b', [1]),
    TypeError("add() missing 1 required positional argument: 'x'"), Outer.InnerError('deep'),
    TaskRevokedError('expired'), TaskRevokedError('revoked'), SoftTimeLimitExceeded(), SoftTimeLimitExceeded(5),
    TimeLimitExceeded(1), TimeLimitExceeded(2.5), ChordError("Dependency I4 raised ValueError('boom', 42)"),
    WorkerLostError('Worker exited prematurely: signal 9 (SIGKILL) Job: 39.'),
    MaxRetriesExceededError("Can't retry proj.add[I] args:() kwargs:{}"), NotRegistered('w.nosuch'),
]


def record_results():
    celery.backends.base.datetime = FixedDatetime
    backend = DictBackend(app=app)
    plain = dict(id='I1', _children=[])
    full = dict(plain, task='proj.add', args=[1, 2.0], kwargs={'k': '\xe9'}, hostname='w1@vm', retries=2,
                delivery_info={'routing_key': 'vq', 'exchange': ''})
    nested = dict(plain, group='G1', parent_id='P1',
                  _children=[app.AsyncResult('I2'), app.GroupResult('G2', [app.AsyncResult('I3')])])
    cases = [
        ('success', 3, states.SUCCESS, None, plain),
        ('success without a request', None, states.SUCCESS, None, None),
        ('all kinds of values', [1, 1.0, 1e300, None, True, 'h\xe9\n', {'a': []}, 2 ** 70, float('nan')],
         states.SUCCESS, None, plain),
        ('group, parent and children', {'x': 1}, states.SUCCESS, None, nested),
        ('failure', ValueError('boom', 42), states.FAILURE, 'Traceback:\n  "x"\nValueError: b\xe9\n', plain),
        ('retry', ValueError('again'), states.RETRY, 'Traceback\n', plain),
        ('retry without a cause', None, states.RETRY, 'Traceback\n', plain),
        ('revoked', TaskRevokedError('expired'), states.REVOKED, None, plain),
        ('revoked at once', TaskRevokedError('revoked'), states.REVOKED, None, None),
        ('started', {'pid': 26058, 'hostname': 'w1@vm'}, states.STARTED, None, plain),
        ('progress', {'cur': 1, 'total': 2}, 'PROGRESS', None, plain),
    ]
    out = []
    for extended in (False, True):
        app.conf.result_extended = extended
        for name, result, state, traceback, request in cases:
            if extended and request is not None:
                request = dict(full, **request)
            if extended and request is None:
                continue
            backend.store_result('I1', result, state, traceback=traceback,
                                 request=Context(request) if request is not None else None)
            text = backend.stored['last']
            out.append({'name': name + (', extended' if extended else ''),
                        'document': text.decode() if isinstance(text, bytes) else text,
                        'state': state,
                        'ready': state in states.READY_STATES,
                        'exception': state in states.EXCEPTION_STATES,
                        'failed': state in states.PROPAGATE_STATES,
                        'traceback': traceback,
                        'done_us': micros(NOW) if state in states.READY_STATES else None})
    return out


def record_exceptions():
    backend = DictBackend(app=app)
    out = []
    for exc in EXCEPTIONS:
        document = backend.encode(backend.prepare_exception(exc))
        back = backend.exception_to_python(json.loads(document))
        out.append({'document': document, 'type': type(exc).__qualname__, 'module': type(exc).__module__,
                    'repr': json.dumps(None if isinstance(back, NotRegistered) else repr(back)),
                    'str': json.dumps(str(back))})
    return out


# ---- reprs ----

rng = random.Random(2026)
ALPHABET = "ab c'd\"\\\n \xe9\u20ac\U0001f600\ud800"


def some_text():
    return ''.join(rng.choice(ALPHABET) for _ in range(rng.choice([0, 1, 5, 20, 60])))


def some_value(depth):
    kind = rng.random()
    if depth < 5 and kind < 0.3:
        return [some_value(depth + 1) for _ in range(rng.choice([0, 1, 1, 2, 3, 8]))]
    if depth < 5 and kind < 0.5:
        return {some_text(): some_value(depth + 1) for _ in range(rng.choice([0, 1, 2, 3]))}
    return rng.choice([None, True, False, 0, -5, 10 ** 30, 1.5, 1e300, 1e-7, float('nan'), float('inf'),
                       -float('inf'), some_text(), some_text()])


def record_reprs():
    fixed = [[], [1], [1, 2], [[]], [[1]], {}, {'a': 1}, 'x', None, True, 1.0, 1e16, [[[[]]]], [{'a': {'b': {'c': 1}}}],
             'x' * 2000, ['word ' * 400, 1, {'a': [2]}], list(range(600)), ['x' * 1022], ['x' * 1023], ['x' * 1021]]
    out = []
    for value in fixed + [some_value(0) for _ in range(400)]:
        text = json.dumps(value, separators=rng.choice([(', ', ': '), (',', ':')]))
        value = json.loads(text)
        as_tuple = isinstance(value, list) and rng.random() < 0.7
        shown = tuple(value) if as_tuple else value
        limit = rng.choice([1, 2, 3, 5, 8, 13, 20, 64, 1024, 1024, 1024])
        out.append({'json': text, 'tuple': as_tuple, 'max': limit,
                    'saferepr': json.dumps(saferepr(shown, limit)), 'repr': json.dumps(repr(shown))})
    return out


def finish(name, content):
    """Writes the file, or compares it."""
    path = os.path.join(HERE, name)
    content = {'celery': celery.__version__, 'kombu': kombu.__version__, 'vectors': content}
    text = json.dumps(content, indent=1) + '\n'
    if '--check' not in sys.argv:
        with open(path, 'w', encoding='ascii') as out:
            out.write(text)
        return
    with open(path, encoding='ascii') as recorded:
        recorded = recorded.read()
    releases = json.loads(recorded)
    if (releases['celery'], releases['kombu']) != (celery.__version__, kombu.__version__):
        print('skipped: recorded with Celery', releases['celery'], 'not', celery.__version__)
        sys.exit(77)
    if recorded != text:
        sys.exit(name + ': Celery writes something else now')


if __name__ == '__main__':
    record_messages()
    finish('messages.json', vectors)
    finish('results.json', record_results())
    finish('exceptions.json', record_exceptions())
    finish('reprs.json', record_reprs())
