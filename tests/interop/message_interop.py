#!/usr/bin/python3
"""Reads with Celery what message_dump (the first argument) prints, and checks every field. Exits with 77,
which meson takes for a skip, where Celery is not installed."""

import datetime
import json
import math
import subprocess
import sys

try:
    import celery
    import celery.utils.saferepr
    import celery.result
    import celery.worker.request
    from celery.worker.request import create_request_cls
    from kombu.message import Message
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)

UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 11, 23, 3, 1, 14, 105188, tzinfo=UTC)
SIGNATURE = {'task': 'proj.add', 'args': [1], 'kwargs': {}, 'options': {}, 'subtask_type': None,
             'immutable': False}

app = celery.Celery('interop', broker='memory://', backend='cache+memory://')


@app.task(name='proj.add', typing=False)
def add(x, y=None, **kwargs):
    return x


class Pool:
    """Never asked to run anything."""

    def apply_async(self, *args, **kwargs):
        raise NotImplementedError


def request_of(line):
    """What a Celery worker makes of the message, through its own classes."""
    properties = line['properties']
    message = Message(
        body=bytes.fromhex(line['body_hex']), headers=line['headers'], properties=properties,
        content_type=properties['content_type'], content_encoding=properties['content_encoding'],
        delivery_tag='tag', delivery_info=properties['delivery_info'], accept={'application/json'}, channel=None)
    message.decode()
    cls = create_request_cls(celery.worker.request.Request, add, Pool(), 'worker@host', None)
    return cls(message, app=app, task=add, headers=dict(line['headers']), decoded=False, utc=True), message


def check(what, got, want):
    assert got == want, '%s: %r, not %r' % (what, got, want)


def check_plain(line):
    request, message = request_of(line)
    check('id', request.id, 'I1')
    check('name', request.name, 'proj.add')
    check('args', request.args, [2, 3])
    check('kwargs', request.kwargs, {})
    check('root_id', request.root_id, 'I1')
    check('correlation_id', request.correlation_id, 'I1')
    check('reply_to', request.reply_to, 'RT')
    check('argsrepr', request.argsrepr, '(2, 3)')
    check('kwargsrepr', request.kwargsrepr, '{}')
    check('time_limits', list(request.time_limits), [None, None])
    check('eta, expires', (request.eta, request.expires), (None, None))
    check('embed', message.decode()[2], {'callbacks': None, 'errbacks': None, 'chain': None, 'chord': None})
    check('priority', message.properties['priority'], 0)
    check('delivery_mode', message.properties['delivery_mode'], 2)
    check('ignore_result', line['headers']['ignore_result'], None)


def check_full(line):
    request, message = request_of(line)
    headers = line['headers']
    args, kwargs, embed = message.decode()
    (key, values), = kwargs.items()
    check('key', key, 'k\xe9y')
    check('values', (type(values[0]), values[:2], values[3]), (float, [1.0, 2 ** 70], '\U0001f600'))
    assert math.isnan(values[2])
    check('callbacks', embed['callbacks'], [SIGNATURE])
    check('errbacks', embed['errbacks'], [SIGNATURE])
    check('chain', embed['chain'], [SIGNATURE])
    check('chord', embed['chord']['options'], {'task_id': 'B'})
    check('shadow', headers['shadow'], 'sh\xe4dow')
    check('group', (request.group, request.group_index), ('G', 4))
    check('ids', (request.root_id, request.parent_id), ('R', 'P'))
    check('retries', headers['retries'], 2)
    check('eta', request.eta, NOW + datetime.timedelta(seconds=1))
    check('expires', request.expires, NOW + datetime.timedelta(seconds=60))
    check('expiration', message.properties['expiration'], '60000')
    check('time_limits', list(request.time_limits), [30, 2.5])
    check('ignore_result', headers['ignore_result'], True)
    check('stamps', (headers['stamped_headers'], headers['stamps']), (['tenant'], {'tenant': 't1'}))
    check('nesting', headers['replaced_task_nesting'], 1)
    check('custom', headers['custom'], {'a': [1, None]})
    check('priority', message.properties['priority'], 9)
    check('kwargsrepr', headers['kwargsrepr'],
          celery.utils.saferepr.saferepr(kwargs, 1024))


def check_result(line):
    meta = app.backend.meta_from_decoded(dict(line['document']))
    check('status', meta['status'], 'SUCCESS')
    check('result', meta['result'], [3, 1.0])
    check('children', celery.result.result_from_tuple(meta['children'][0], app).id, 'I2')
    check('date_done', datetime.datetime.fromisoformat(meta['date_done']), NOW)
    check('last key', list(meta)[-1], 'task_id')
    if line['name'] == 'extended':
        check('extended', [meta[k] for k in ('name', 'args', 'kwargs', 'worker', 'retries', 'queue')],
              ['proj.add', [1, 2], {}, 'w1@vm', 0, 'vq'])
        check('ids', (meta['group_id'], meta['parent_id']), ('G', 'P'))


def check_failure(line):
    document = line['document']
    meta = app.backend.meta_from_decoded(dict(document))
    exc = meta['result']
    check('class', type(exc).__name__, line['name'])
    check('args', list(exc.args), document['result']['exc_message'])
    check('repr', repr(exc), line['repr'])
    check('str', str(exc), line['str'])
    check('traceback', meta['traceback'], 'Traceback\n')


CHECKS = {'plain': check_plain, 'zlib': check_plain, 'full': check_full}


def main():
    import billiard.exceptions  # noqa: F401  exceptions are looked up in loaded modules
    out = subprocess.run([sys.argv[1]], check=True, stdout=subprocess.PIPE).stdout
    lines = [json.loads(text) for text in out.decode('ascii').splitlines()]
    assert len(lines) > 10
    for line in lines:
        try:
            {'message': CHECKS.get(line['name']), 'result': check_result,
             'failure': check_failure}[line['kind']](line)
        except Exception:
            print('in', line['kind'], line['name'])
            raise
    print(len(lines), 'messages and documents read by Celery', celery.__version__)


if __name__ == '__main__':
    main()
