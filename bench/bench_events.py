"""What -E costs a worker: no-op tasks with and without it, in turn, on RabbitMQ and on Redis, on private servers that this
starts; medians of throughput, and their ratio. Nobody listens, as with most workers at most times.

    bench_events.py BUILD/bench/bench_servers"""
import sys
import tempfile

import bench_servers as servers


def run(bench, broker, pool, options):
    """Tasks a second."""
    queue = bench.queue()
    bench.redis.ask("FLUSHALL")
    bench.run("send", broker, bench.store, queue, servers.TASKS)
    if broker == bench.amqp:
        return bench.timed(lambda: bench.worker(broker, queue, "-P", pool, *options), servers.TASKS)[0]
    worker = bench.worker(broker, queue, "-P", pool, *options)
    try:
        return servers.redis_rate(bench, worker, queue)
    finally:
        worker.stop()


def compare(bench, name, broker, pool):
    plain, events = [], []
    for _ in range(servers.ROUNDS):
        plain.append(run(bench, broker, pool, ()))
        events.append(run(bench, broker, pool, ("-E",)))
    servers.ratio(f"{name}, {pool} -c 2, with -E", events, plain, "without", " (wanted 0.9)")


def main():
    with tempfile.TemporaryDirectory() as folder:
        bench = servers.Bench(sys.argv[1], folder)
        try:
            for pool in ("prefork", "threads"):
                compare(bench, "RabbitMQ", bench.amqp, pool)
                compare(bench, "Redis", bench.store, pool)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
