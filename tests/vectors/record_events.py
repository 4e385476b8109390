#!/usr/bin/python3
"""Records the events of Celery's own dispatcher, as vectors for the C tests.

Run with a Python that has Celery 5.2: ./record_events.py writes events.json beside itself; --check
writes nothing and tells whether that would be the same. It exits with 77, a skip for meson, where
another Celery or none is installed. Times, process ids and host names are fixed."""

import json
import os
import sys

try:
    import celery
    from celery.events import dispatcher, event
    from kombu import serialization
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'events.json')
NOW = 1795402675.838644
UUID = '21ca3f6e-4f0c-4a3c-9e6a-0d8c3a1f7b52'

app = celery.Celery('vectors', broker='memory://', set_as_current=False)
sent = []


class Producer:
    def publish(self, body, routing_key, exchange, headers, delivery_mode, serializer, **kwargs):
        kind, encoding, text = serialization.dumps(body, serializer)
        sent.append({'routing_key': routing_key, 'exchange': exchange,
                     'headers': json.dumps(headers), 'delivery_mode': delivery_mode,
                     'content_type': kind, 'content_encoding': encoding, 'body': text})


def make_event(type, _fields=None, **fields):
    return event.Event(type, _fields, __now__=lambda: NOW, **fields)


def offset():
    return 5


def record():
    dispatcher.utcoffset = offset
    dispatcher.Event = make_event
    d = dispatcher.EventDispatcher(None, hostname='w1@vm', app=app, enabled=False,
                                   buffer_group=['task'])
    d.enabled, d.producer, d.pid = True, Producer(), 16958
    vitals = dict(freq=2.0, active=1, processed=7, loadavg=(0.55, 0.4, 0.0),
                  sw_ident='py-celery', sw_ver='5.2.6', sw_sys='Linux')

    def send(type, **fields):
        d.send(type, utcoffset=offset, Event=make_event, **fields)
    send('worker-online', **vitals)
    send('worker-heartbeat', **vitals)
    send('task-received', uuid=UUID, name='t.add', args='(1, "\u00e4\n")', kwargs='{}',
         root_id=UUID, parent_id=None, retries=0, eta=None,
         expires='2026-11-23T03:01:14.105188+00:00')
    send('task-started', uuid=UUID)
    send('task-succeeded', uuid=UUID, result="'\U0001f600'", runtime=0.005519)
    send('task-failed', uuid=UUID, exception="ValueError('boom')",
         traceback='Traceback (most recent call last):\n  ...\n')
    send('task-retried', uuid=UUID, exception='None', traceback='x')
    send('task-revoked', uuid=UUID, terminated=False, signum=None, expired=True)
    send('task-rejected', uuid=UUID, requeue=True)
    d.flush()
    for n in range(24 + 1): # a list is full at 24
        send('task-started', uuid=str(n))
    d.flush()
    send('worker-offline', **vitals)


def main():
    if not celery.__version__.startswith('5.2.'):
        print('skipped: Celery', celery.__version__)
        return 77
    record()
    text = json.dumps({'celery': '5.2', 'vectors': sent}, indent=1) + '\n'
    if '--check' in sys.argv:
        with open(PATH) as file:
            same = file.read() == text
        print('the same' if same else 'events.json differs')
        return not same
    with open(PATH, 'w') as file:
        file.write(text)
    return 0


sys.exit(main())
