#!/usr/bin/python3
"""Reads configuration files, expressions, URLs and patterns with Python and with config_probe and
compares. Usage: config_interop.py PROBE SAMPLES. Exit status 77: Celery is not installed."""
import fnmatch
import json
import os
import random
import subprocess
import sys

try:
    import celery
    import kombu
    from celery.schedules import crontab
    from datetime import timedelta
    from kombu.common import Broadcast
except ImportError as exc:
    print('skipped:', exc)
    sys.exit(77)

PROBE, SAMPLES = sys.argv[1:3]
failures = compared = 0


def check(what, ours, theirs):
    global failures, compared
    compared += 1
    if ours != theirs or type(ours) is not type(theirs):
        failures += 1
        print(f'{what}:\n  celeriac {ours!r}\n  python   {theirs!r}')


def probe(*args, lines=None):
    text = None if lines is None else '\n'.join(lines) + '\n'
    done = subprocess.run([PROBE, *args], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f'{PROBE} {args}: {done.stderr}')
    return done.stdout


def plain(value):
    """A Python value as the library describes it, objects by their attributes."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds == int(seconds) else seconds
    if isinstance(value, crontab):
        return ['crontab'] + [str(getattr(value, '_orig_' + name)) for name in
                              ('minute', 'hour', 'day_of_week', 'day_of_month', 'month_of_year')]
    if isinstance(value, kombu.Exchange):
        return ['Exchange', value.name, value.type, value.durable]
    if isinstance(value, kombu.binding):
        return ['binding', plain(value.exchange), value.routing_key]
    if isinstance(value, Broadcast):
        return ['Broadcast', value.exchange.name]
    if isinstance(value, kombu.Queue):
        exchange = plain(value.exchange) if value.exchange and value.exchange.name else None
        return ['Queue', value.name, exchange, value.routing_key, value.durable,
                value.max_priority, value.queue_arguments,
                sorted(map(plain, value.bindings or []))]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=repr)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def ours(value, name=''):
    """The library's description in the same form."""
    if isinstance(value, dict) and '__class__' in value:
        kind, get = value['__class__'], value.get
        if kind == 'crontab':
            return [kind] + [str(get(key, '*')) for key in
                             ('minute', 'hour', 'day_of_week', 'day_of_month', 'month_of_year')]
        if kind == 'Exchange':
            return [kind, get('name', ''), get('type', 'direct'), get('durable', True)]
        if kind == 'binding':
            return [kind, ours(get('exchange')), get('routing_key', '')]
        if kind == 'Broadcast':
            return [kind, get('exchange', get('name'))]
        return [kind, get('name'), ours(get('exchange')), get('routing_key', ''),
                get('durable', True), get('max_priority'), get('queue_arguments'),
                sorted(map(ours, get('bindings', [])))]
    if isinstance(value, dict):
        return {key: ours(item) for key, item in value.items()}
    if isinstance(value, list):
        return [ours(item) for item in value]
    return value


def compare_files():
    for name in sorted(os.listdir(SAMPLES)):
        if not name.endswith('.py'):
            continue
        path = os.path.join(SAMPLES, name)
        space = {}
        with open(path, encoding='utf-8') as file:
            exec(compile(file.read(), path, 'exec'), space)
        read = json.loads(probe('file', path))
        for key, value in space.items():
            if key.startswith('__') or key == 'absolute_import' or isinstance(value, type) or \
                    callable(value) and not isinstance(value, kombu.Exchange) or \
                    type(value).__name__ in ('module', '_Environ', '_Feature'):
                continue
            got, want = ours(read.get(key)), plain(value)
            if isinstance(value, set):
                got = sorted(got, key=repr)
            check(f'{name}: {key}', got, want)
        app = celery.Celery('x', set_as_current=False)
        app.config_from_object({k: v for k, v in space.items() if k.isupper() or k.islower()
                                and not k.startswith('_')})
        settings = json.loads(probe('config', path))
        for key in ('task_default_queue', 'worker_concurrency', 'task_acks_late', 'timezone',
                    'task_time_limit', 'worker_prefetch_multiplier', 'task_serializer',
                    'broker_connection_max_retries', 'event_queue_prefix', 'task_protocol'):
            check(f'{name}: setting {key}', settings[key], app.conf[key])


def random_expression(rng, depth):
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(['0', '1', '7', '1_000', '0x1F', '0b101', '0o17', '2.5', '.5', '3.', '1e3',
                           'True', 'None', "'a'", '"b"', "''", '[]', '[1, 2]', '(3,)', '-3', "r'\\d'"])
    pick = rng.random()
    left, right = (random_expression(rng, depth - 1) for _ in range(2))
    if pick < 0.55:
        return f'{left} {rng.choice(["+", "-", "*", "/", "//", "%", "+", "**"])} {right}'
    if pick < 0.7:
        return f'({left})'
    if pick < 0.8:
        return f'{rng.choice("-+~")}{left}'
    if pick < 0.95:
        return f'{left} {rng.choice(["or", "and"])} {right}'
    return f'not {left}'


def compare_values():
    rng = random.Random(4)
    lines = ['60 * 60', '24*3600', '-2 ** 2', '2 ** -1', '-7 // 2', '-7 % 3', '7.5 // -2', '(1,)', '()',
             '"\\x41\\u00e9\\U0001F600\\101\\n\\q"', "'a' 'b' \"c\"", '{"a": (1, 2,),}', '1, 2',
             'not 0 or 3', '1 and 0 or 2', "f'{{}}'", 'int("12")', 'float(" 1.5 ")', 'str(1.0)',
             'str(None)', 'bool([])', 'dict(a=1)', 'list((1, 2))', '+True', '~5', '1e22', '1e-7',
             '5 % -3', '-0.0', '5.5 % -2', '0 ** 0', '"a" if 1 else 2', '[i for i in []]']
    lines += [random_expression(rng, 4) for _ in range(4000)]
    read = probe('values', lines=lines).splitlines()
    taken = 0
    for line, answer in zip(lines, read, strict=True):
        if answer == 'error':
            continue
        taken += 1
        try:
            value = eval(line)
        except Exception as exc:
            value = f'{exc!r}'
        check(line, json.loads(answer), plain(value))
    # What is refused is what needs more than 64 bits or what we say cannot be read: not most of it.
    if taken < len(lines) // 3:
        check('values taken', taken, len(lines))
    for line, answer in zip(lines[:31], read):
        if answer == 'error':
            check(line, answer, 'a value')


def compare_masks():
    urls = ['amqp://', 'amqp://h', 'amqp://h/vh', 'amqp://h/%2Fvh', 'amqp://u:p%40ss@h:5673/a%2Fb',
            'amqp://u@h', 'amqps://h/v', 'pyamqp://a:b@h//', 'amqp://h:5672', 'amqp://h//',
            'amqp://u:p@h/v?heartbeat=3', 'amqp://u%40x:p@h/a b']
    for url, shown in zip(urls, probe('masks', lines=urls).splitlines(), strict=True):
        check(url, shown, kombu.Connection(url).as_uri())


def compare_globs():
    rng = random.Random(5)
    pairs = [(''.join(rng.choice('ab*?.[]!-') for _ in range(rng.randrange(7))),
              ''.join(rng.choice('ab.]-!') for _ in range(rng.randrange(7)))) for _ in range(5000)]
    # An empty range such as [b-a] never matches in Python and is of no use.
    answers = probe('globs', lines=[f'{p}\t{t}' for p, t in pairs]).splitlines()
    for (pattern, text), answer in zip(pairs, answers, strict=True):
        if '-' in pattern and '[' in pattern:
            continue
        check(f'{pattern!r} {text!r}', answer == '1', fnmatch.fnmatchcase(text, pattern))


compare_files()
compare_values()
compare_masks()
compare_globs()
print(f'{compared} comparisons, {failures} failures')
sys.exit(1 if failures else 0)
