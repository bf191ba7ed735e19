"""Basic use of redis-py against a master and its replica: argv is their two ports.

Prints "all good" at its end; anything else is a failure, with Python's own traceback.
"""

import sys
import threading

import redis

master = redis.Redis(port=int(sys.argv[1]), decode_responses=True)
replica = redis.Redis(port=int(sys.argv[2]), decode_responses=True)


def strings():
    assert master.set("greeting", "hello")
    assert master.get("greeting") == "hello"
    assert master.set("greeting", "again", nx=True) is None
    assert master.mset({"a": 1, "b": 2})
    assert master.mget("a", "b", "c") == ["1", "2", None]
    assert master.incr("a", 10) == 11
    assert master.set("short", "v", ex=100) and 0 < master.ttl("short") <= 100
    assert master.getdel("short") == "v" and not master.exists("short")
    assert master.append("greeting", " world") == 11


def collections():
    assert master.rpush("list", *range(10)) == 10
    assert master.lrange("list", 2, 4) == ["2", "3", "4"]
    assert master.blpop("list", timeout=1) == ("list", "0")
    assert master.hset("hash", mapping={"f": "v", "n": 1}) == 2
    assert master.hgetall("hash") == {"f": "v", "n": "1"}
    assert master.hincrby("hash", "n", 4) == 5
    assert master.sadd("set", "x", "y", "z") == 3
    assert master.smembers("set") == {"x", "y", "z"}
    assert master.zadd("zset", {"one": 1, "two": 2.5}) == 2
    assert master.zrange("zset", 0, -1, withscores=True) == [("one", 1.0), ("two", 2.5)]
    assert master.zrangebyscore("zset", 2, "+inf") == ["two"]


def iteration():
    keys = {f"many:{i}" for i in range(1000)}
    pipe = master.pipeline(transaction=False)
    for key in keys:
        pipe.set(key, "v")
    assert all(pipe.execute())
    assert set(master.scan_iter(match="many:*", count=50)) == keys
    assert master.delete(*keys) == 1000


def transactions():
    master.set("balance", 10)

    def spend(pipe):
        left = int(pipe.get("balance"))
        pipe.multi()
        pipe.set("balance", left - 3)

    assert master.transaction(spend, "balance") == [True]
    assert master.get("balance") == "7"
    with master.pipeline() as pipe:
        pipe.watch("balance")
        master.set("balance", 0)
        pipe.multi()
        pipe.set("balance", 99)
        try:
            pipe.execute()
            raise AssertionError("a watched key changed, and nobody noticed")
        except redis.WatchError:
            pass


def publish_and_subscribe():
    ready, got = threading.Event(), []

    def listen():
        channel = master.pubsub()
        channel.subscribe("news")
        for message in channel.listen():
            if message["type"] == "subscribe":
                ready.set()
            else:
                got.append(message["data"])
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert ready.wait(20)
    assert master.publish("news", "hello") == 1
    listener.join(20)
    assert got == ["hello"]


def errors():
    master.set("text", "v")
    for call in (lambda: master.incr("text"), lambda: master.lpush("text", "x")):
        try:
            call()
            raise AssertionError("an error was due")
        except redis.ResponseError:
            pass
    try:
        replica.set("k", "v")
        raise AssertionError("a replica must refuse writes")
    except redis.exceptions.ReadOnlyError:
        pass


def server_side():
    assert master.ping()
    info = master.info()
    assert info["role"] == "master" and info["connected_slaves"] == 1
    assert master.config_get("maxmemory") == {"maxmemory": "0"}
    assert master.client_setname("tester") and master.client_getname() == "tester"
    assert any(client["name"] == "tester" for client in master.client_list())
    assert master.dbsize() > 0


def replication():
    master.set("replicated", "yes")
    assert master.wait(1, 20_000) == 1
    assert replica.get("replicated") == "yes"
    assert replica.info("replication")["master_link_status"] == "up"
    assert replica.role()[0] in ("slave", b"slave")


for step in (
    strings, collections, iteration, transactions, publish_and_subscribe, errors, server_side, replication,
):
    step()
print("all good")
