"""Jobs of RQ through Sentinel: `rq_jobs.py enqueue N` and `rq_jobs.py work`; `run_job` is what they do."""

import os
import sys
import time

from redis.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError, ReadOnlyError, TimeoutError
from redis.sentinel import Sentinel


def run_job(number):
    time.sleep(0.02)
    with open(os.environ["DONE"], "a") as done:
        done.write(f"{number}\n")


def connection():
    sentinel = Sentinel([("127.0.0.1", int(os.environ["SENTINEL"]))], socket_timeout=2)
    # A connection asks Sentinel anew after so many tries, and is tried so often itself.
    retry = Retry(ConstantBackoff(0.2), 6)
    errors = [ConnectionError, TimeoutError, ReadOnlyError]
    return sentinel.master_for("m", retry=retry, retry_on_error=errors)


def main():
    from rq import Queue, SimpleWorker, Retry as JobRetry

    import rq_jobs

    redis = connection()
    queue = Queue("jobs", connection=redis)
    if sys.argv[1] == "enqueue":
        for number in range(int(sys.argv[2])):
            queue.enqueue(rq_jobs.run_job, number, retry=JobRetry(max=3), job_timeout=10)
        # What is not at the replica when the master dies is nobody's to keep.
        assert redis.wait(1, 10_000) == 1
    else:
        # RQ looks every so often for what a worker took and never began or ended, and puts it back a minute later.
        often = {"maintenance_interval": 5, "worker_ttl": 20}
        # A worker that the failover meets between two commands of a job quits: who supervises it starts another.
        while True:
            try:
                SimpleWorker([queue], connection=redis, **often).work(logging_level="WARNING")
            except (ConnectionError, TimeoutError) as error:
                print(f"the worker ended: {error}", file=sys.stderr)
            time.sleep(0.5)


if __name__ == "__main__":
    main()
