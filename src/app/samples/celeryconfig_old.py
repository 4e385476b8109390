# -*- coding: utf-8 -*-
# A configuration with the old upper-case names, as it was written for Celery 3.
from __future__ import absolute_import

from datetime import timedelta

from celery.schedules import crontab
from kombu import Exchange, Queue

BROKER_URL = 'amqp://root:root@127.0.0.1/dispatch_server_host'
CELERY_RESULT_BACKEND = 'redis://127.0.0.1:6379/1'

CELERY_TASK_SERIALIZER = 'json'
CELERY_RESULT_SERIALIZER = 'json'
CELERY_ACCEPT_CONTENT = ['json']
CELERY_TIMEZONE = 'Asia/Shanghai'
CELERY_ENABLE_UTC = True

CELERY_TASK_RESULT_EXPIRES = 60 * 60 * 24
CELERYD_CONCURRENCY = 4
CELERYD_PREFETCH_MULTIPLIER = 1
CELERYD_MAX_TASKS_PER_CHILD = 1000
CELERYD_TASK_TIME_LIMIT = 3600
CELERY_ACKS_LATE = True
CELERY_DEFAULT_QUEUE = 'default'

CELERY_QUEUES = (
    Queue('default', Exchange('default'), routing_key='default'),
    Queue('celery_test', Exchange('celery_test', type='direct'), routing_key='celery_test'),
    Queue('queue_rpc', Exchange('queue_rpc', type='direct'), routing_key='queue_rpc',
          queue_arguments={'x-max-priority': 10}),  # the dispatcher listens here
)

CELERY_ROUTES = {
    'tasks.make_result_str': {'queue': 'celery_test', 'routing_key': 'celery_test'},
    'tasks.make_*': {'queue': 'celery_test'},
    'dispatch.*': 'queue_rpc',
}

CELERYBEAT_SCHEDULE = {
    'every-30-seconds': {
        'task': 'tasks.add',
        'schedule': timedelta(seconds=30),
        'args': (16, 16),
    },
    'nightly': {
        'task': 'tasks.make_model',
        'schedule': crontab(hour=3, minute='*/15', day_of_week='mon-fri'),
        'kwargs': {'days': 7},
        'options': {'queue': 'celery_test', 'expires': 15.0},
    },
}
