"""Jobs of Celery through Sentinel: `celery_jobs.py enqueue N` and `celery_jobs.py work`."""

import os
import sys
import time

from celery import Celery

URL = f"sentinel://127.0.0.1:{os.environ['SENTINEL']}/0"

app = Celery("celery_jobs", broker=URL, backend=URL)
app.conf.update(
    broker_transport_options={"master_name": "m", "visibility_timeout": 10},
    result_backend_transport_options={"master_name": "m"},
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


@app.task(name="run_job")
def run_job(number):
    time.sleep(0.02)
    with open(os.environ["DONE"], "a") as done:
        done.write(f"{number}\n")
    return number


def main():
    if sys.argv[1] == "enqueue":
        for number in range(int(sys.argv[2])):
            run_job.delay(number)
        from redis.sentinel import Sentinel

        # What is not at the replica when the master dies is nobody's to keep.
        master = Sentinel([("127.0.0.1", int(os.environ["SENTINEL"]))]).master_for("m")
        assert master.wait(1, 10_000) == 1
    else:
        app.worker_main(["worker", "--pool=solo", "--loglevel=WARNING"])


if __name__ == "__main__":
    main()
