#!/usr/bin/env bash
# clients.sh BIN_DIR [CLIENT...]: real jobs of RQ, Celery and BullMQ, and sessions of connect-redis, through Sentinel on
# our servers, with the master killed in the midst: none may be lost. Fetches the clients into the target folder (pip,
# npm; node is needed).
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(realpath "$1")
clients=(rq celery bullmq sessions)
[ $# -lt 2 ] || clients=("${@:2}")
target=$(realpath "${CARGO_TARGET_DIR:-target}")/clients
here=$PWD/tests/clients
jobs=200
base=${CLIENTS_PORT:-17500}

mkdir -p "$target"
if [ ! -e "$target/venv/ready" ]; then
    python3 -m venv "$target/venv"
    "$target/venv/bin/pip" install -q rq "celery[redis]"
    touch "$target/venv/ready"
fi
[ -e "$target/node_modules/ioredis" ] ||
    npm install --silent --no-audit --no-fund --prefix "$target" bullmq ioredis redis connect-redis express-session

work=$(mktemp -d)
pids=()
end() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    pids=()
}
trap 'end; rm -rf "$work"' EXIT

started=
start() { # LOG COMMAND...
    local log=$work/$1
    shift
    "$@" >"$log" 2>&1 &
    started=$!
    pids+=("$started")
    disown "$started"
}

# Polls a condition for a minute and a half.
await() { # WHAT COMMAND...
    local what=$1
    shift
    for ((i = 0; i < 900; i++)); do
        "$@" && return 0
        sleep 0.1
    done
    echo "waited in vain until $what" >&2
    return 1
}

says() { redis-cli -p "$1" "${@:3}" 2>/dev/null | grep -q "$2"; }
done_jobs() { sort -u "$DONE" 2>/dev/null | wc -l; }
are_done() { [ "$(done_jobs)" -ge "$1" ]; }

# In place of the shell that calls it, so that who ends that one ends the client.
run_client() { # NAME
    case $1 in
    rq | celery) cd "$here" && exec env PYTHONDONTWRITEBYTECODE=1 "$target/venv/bin/python" "$1_jobs.py" "${@:2}" ;;
    bullmq) MODULES=$target exec node "$here/bullmq_jobs.mjs" "${@:2}" ;;
    sessions) MODULES=$target exec node "$here/sessions.mjs" "${@:2}" ;;
    esac
}

through_a_failover() { # NAME
    local name=$1 m=$base r=$((base + 1)) master
    export SENTINEL=$((base + 2)) DONE=$work/$name.done
    mkdir -p "$work/$name"/{m,r}
    local common=(--bind 127.0.0.1 --save "" --repl-diskless-sync-delay 0)
    start "$name.master" "$bin/redis-server" --port "$m" --dir "$work/$name/m" "${common[@]}"
    master=$started
    start "$name.replica" "$bin/redis-server" --port "$r" --dir "$work/$name/r" --replicaof "127.0.0.1 $m" "${common[@]}"
    await "the link is up" says "$r" master_link_status:up INFO replication
    printf '%s\n' "port $SENTINEL" "bind 127.0.0.1" "sentinel monitor m 127.0.0.1 $m 1" \
        "sentinel down-after-milliseconds m 1000" "sentinel failover-timeout m 5000" >"$work/sentinel.conf"
    start "$name.sentinel" /usr/bin/redis-sentinel "$work/sentinel.conf"
    await "Sentinel knows the replica" says "$SENTINEL" "num-other\|$r" SENTINEL replicas m

    (run_client "$name" enqueue "$jobs")
    start "$name.worker" run_client "$name" work
    await "a third is done" are_done $((jobs / 3))
    kill -9 "$master"
    await "the replica is the master" says "$r" role:master INFO replication
    if await "all are done" are_done "$jobs"; then
        echo "$name: $jobs of $jobs done, $(wc -l <"$DONE") runs, through a failover"
    else
        echo "$name: $(done_jobs) of $jobs done" >&2
        tail -n 20 "$work/$name.worker" >&2
        return 1
    fi
    end
    base=$((base + 3))
}

failed=0
for name in "${clients[@]}"; do
    through_a_failover "$name" || { failed=$((failed + 1)); end; base=$((base + 3)); }
done
echo "$((${#clients[@]} - failed)) passed, $failed failed"
[ "$failed" = 0 ]
