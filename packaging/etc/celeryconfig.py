# /etc/celeriac/celeryconfig.py - read by all Celeriac services, never executed. All settings: `celeriac report` and settings.md.

# The embedded broker and result store. For servers: "amqp://user:password@host/vhost" and "redis://host/0".
broker_url = "sqlite:////var/lib/celeriac/celeriac.db"
result_backend = "sqlite:////var/lib/celeriac/celeriac.db"
