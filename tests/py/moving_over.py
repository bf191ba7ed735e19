"""An application that moves over: argv is 0 where it begins or 1 where it goes on, and the server's port.

Jobs are put into queues at the first server, half of them are done there and half at the second; locks, limits and
what is cached outlive the move. Prints "all good" at its end; anything else is a failure, with Python's own traceback.
"""

import logging
import sys
import warnings

import redis
from celery import Celery
from celery.worker import state
from rq import Queue, SimpleWorker

sys.dont_write_bytecode = True
# Jobs are found by their module's name.
import moving_over  # noqa: E402

HALF = 5
SECOND, PORT = sys.argv[1] == "1", int(sys.argv[2])
client = redis.Redis(port=PORT, decode_responses=True)
# Its values are pickled.
plain = redis.Redis(port=PORT)

celery = Celery("jobs", broker=f"redis://127.0.0.1:{PORT}/1", backend=f"redis://127.0.0.1:{PORT}/2")
celery.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, worker_redirect_stdouts=False)

LIMIT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return count <= tonumber(ARGV[1]) and 1 or 0
"""


def note(queue, number):
    """What every job does: each number once is the whole of them."""
    return moving_over.client.hincrby(f"done:{queue}", number, 1)


@celery.task(name="moving_over.job")
def job(number):
    note("celery", number)
    if moving_over.client.hlen("done:celery") % HALF == 0:
        state.should_stop = 0


def jobs_of_rq():
    queue = Queue("jobs", connection=plain)
    if not SECOND:
        for number in range(2 * HALF):
            queue.enqueue(moving_over.note, "rq", number)
    worker = SimpleWorker([queue], connection=plain)
    worker.work(burst=True, max_jobs=HALF, logging_level="WARNING")
    assert client.hgetall("done:rq") == dict.fromkeys(map(str, range(HALF * (2 if SECOND else 1))), "1")
    assert queue.count == (0 if SECOND else HALF)


def jobs_of_celery():
    if not SECOND:
        for number in range(2 * HALF):
            job.delay(number)
    quiet = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True, "quiet": True}
    try:
        celery.Worker(pool="solo", loglevel="ERROR", **quiet).start()
    except SystemExit as end:
        assert end.code == 0
    assert client.hgetall("done:celery") == dict.fromkeys(map(str, range(HALF * (2 if SECOND else 1))), "1")


def locks():
    lock = client.lock("lock", timeout=600)
    if not SECOND:
        assert lock.acquire(blocking=False, token="mine")
    else:
        assert not lock.acquire(blocking=False, token="somebody else's")
        lock.local.token = b"mine"
        lock.release()
        assert lock.acquire(blocking=False) and lock.extend(10)


def limits():
    """EVALSHA, and EVAL where the script is not known yet: five calls are let through, wherever they are made."""
    limited = client.register_script(LIMIT)
    passed = [limited(keys=["limit"], args=[5, 600_000]) for _ in range(4)]
    assert passed == ([1, 0, 0, 0] if SECOND else [1, 1, 1, 1]), passed
    assert 0 < client.pttl("limit") <= 600_000


def caches():
    """Client-side tracking as redis-py's users do it: what others change is told to the connection of the cache."""
    if not SECOND:
        client.set("cached", "old", ex=600)
    told = client.pubsub(ignore_subscribe_messages=True)
    told.subscribe("__redis__:invalidate")
    listener = [c for c in client.client_list() if int(c["sub"]) > 0][-1]["id"]
    reader = redis.Redis(port=PORT, decode_responses=True, single_connection_client=True)
    assert reader.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", listener) in (True, "OK")
    assert reader.get("cached") == "old"
    client.set("cached", "old", keepttl=True)
    message = None
    while message is None:
        message = told.get_message(timeout=60)
    assert message["data"] == ["cached"], message
    assert client.ttl("cached") > 0


def main():
    logging.disable(logging.WARNING)
    # Who is root in a test is told not to be.
    warnings.simplefilter("ignore")
    for part in (jobs_of_rq, jobs_of_celery, locks, limits, caches):
        part()
    print("all good")


if __name__ == "__main__":
    main()
