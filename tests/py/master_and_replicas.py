"""Reads scale over replicas: redis-py's pools of a master and its replicas, as a sentinel tells of them.

argv is a sentinel's port, the master's, and those of its replicas. Prints "all good" at its end.
"""

import sys

import redis
from redis.sentinel import Sentinel

sentinel_port, master_port, *replica_ports = map(int, sys.argv[1:])
sentinel = Sentinel([("127.0.0.1", sentinel_port)], socket_timeout=60, decode_responses=True)
assert sentinel.discover_master("m") == ("127.0.0.1", master_port)
assert sorted(port for _, port in sentinel.discover_slaves("m")) == sorted(replica_ports)

master = sentinel.master_for("m", decode_responses=True)
replica = sentinel.slave_for("m", decode_responses=True)

for n in range(100):
    master.set(f"key:{n}", n)
assert master.info("replication")["role"] == "master"
# Every reply of a replica's pool is a replica's, and behind WAIT it is the newest.
assert master.wait(len(replica_ports), 60000) == len(replica_ports)
for n in range(100):
    assert replica.get(f"key:{n}") == str(n)

served = set()
for _ in range(200):
    connection = replica.connection_pool.get_connection("INFO")
    connection.send_command("CONFIG", "GET", "port")
    served.add(int(connection.read_response()[1]))
    connection.disconnect()
    replica.connection_pool.release(connection)
assert served == set(replica_ports), served

try:
    replica.set("k", "v")
except redis.exceptions.ReadOnlyError as error:
    assert "You can't write against a read only replica." in str(error), error
else:
    raise AssertionError("a replica took a write")

print("all good")
