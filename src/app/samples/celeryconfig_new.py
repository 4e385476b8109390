"""A configuration with today's names.

It uses most of what a file of assignments may hold.
"""
import os
import datetime as dt
from datetime import timedelta
from os import environ, getenv as get_variable

import kombu
from celery.schedules import (
    crontab,
)
from kombu import Exchange as Ex, Queue, binding
from kombu.common import Broadcast

HOST = environ.get('CELERIAC_SAMPLE_HOST', '127.0.0.1')
PORT = int(os.environ.get('CELERIAC_SAMPLE_PORT', '5672'))
PASSWORD = get_variable('CELERIAC_SAMPLE_PASSWORD') or u'gu\u0065st'
broker_url = 'amqp://guest:' + PASSWORD + f'@{HOST}:{PORT}//'
result_backend = ('redis://'
                  "localhost:6379/0")
broker_transport_options = dict(visibility_timeout=12 * 3600, confirm_publish=True)
broker_connection_max_retries = None; broker_heartbeat = 0x1e

task_default_exchange = task_default_queue = 'main'
media = Ex('media', type='topic', durable=False)
task_queues = [
    Queue('main', Ex('main'), 'main'),
    Queue('media', media, routing_key='media.#', max_priority=5),
    kombu.Queue('bound', bindings=[binding(media, routing_key='a.*')]),
]
task_queues += [Broadcast('everyone')]
task_routes = (
    {'media.encode': {'queue': 'media', 'routing_key': 'media.video', 'priority': 3}},
    [('media.*', {'queue': 'media'}), ('*.slow', 'main')],
)
task_annotations = {'*': {'rate_limit': '10/s'}}
task_time_limit = 5 * 60
task_soft_time_limit = task_time_limit - 10 // 3 + 2 ** 3 % 5
task_publish_retry_policy = {
    'max_retries': 3, 'interval_start': 0, 'interval_step': .2, "interval_max": 1e0,
}
result_expires = dt.timedelta(days=1, minutes=2.5)
accept_content = {'json', 'yaml', 'json'}
imports = 'tasks', 'more.tasks'
include = ()
worker_prefetch_multiplier = 1_0
worker_log_format = '[%(asctime)s: %(levelname)s] ' \
    r'%(message)s\n' '''
'''
enable_utc = not None
beat_schedule = {
    'a': {'task': 't.a', 'schedule': crontab(), 'args': []},
    'b': {'task': 't.b', 'schedule': crontab('0', '4', day_of_month='1-7')},
    'c': {'task': 't.c', 'schedule': timedelta(0, 1.5), 'options': {}},
    'd': {'task': 't.d', 'schedule': 10.0},
}
