#!/usr/bin/env bash
# run.sh BIN_DIR: a master and a replica of it on this host, their logs on the terminal, until Ctrl-C.
# Data goes to ./data/master and ./data/replica (TANDEM_DATA names another folder); ports are 6379 and
# 6380, or the next free ones (TANDEM_PORT names another first port).
set -u

bin_dir=$(cd "$1" && pwd)
data=${TANDEM_DATA:-data}
mkdir -p "$data" && data=$(cd "$data" && pwd) || exit 1
first_port=${TANDEM_PORT:-6379}

# Whether something listens on a port of this host.
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port=$1
    while taken "$port"; do port=$((port + 1)); done
    echo "$port"
}

# The answer to one command, raw, without a client program.
ask() { # PORT WORD...
    local port=$1 word line
    shift
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    {
        printf '*%d\r\n' $#
        for word in "$@"; do printf '$%d\r\n%s\r\n' ${#word} "$word"; done
    } >&3
    IFS= read -r -t 5 line <&3 || { exec 3>&-; return 1; }
    case $line in
    '$'*) head -c "$(tr -dc '0-9' <<<"$line")" <&3 | tr -d '\r' ;;
    *) tr -d '\r' <<<"$line" ;;
    esac
    exec 3>&-
}

field() { # PORT FIELD
    ask "$1" INFO replication 2>/dev/null | sed -n "s/^$2://p"
}

alive() { kill -0 "$1" 2>/dev/null; }

# With job control, each background job is a process group of its own: Ctrl-C reaches this script only,
# which stops the servers in order and lets the readers of their logs go on to the last line.
set -m
pipes=$(mktemp -d) || exit 1
trap 'rm -rf "$pipes"' EXIT

# A reader prefixes each log line; the server stays a direct child, so that it can be signalled.
readers=()
start() { # NAME BINARY ARGUMENT...
    local name=$1 binary=$2
    shift 2
    mkdir -p "$data/$name" && mkfifo "$pipes/$name" || exit 1
    sed -u "s/^/$name | /" <"$pipes/$name" &
    readers+=($!)
    "$bin_dir/$binary" "$@" --dir "$data/$name" >"$pipes/$name" 2>&1 &
}

master_pid='' replica_pid='' stopping=''
stop_both() {
    [ -z "$stopping" ] || return 0
    stopping=yes
    # The replica first, so that the master does not report it as lost.
    for pid in $replica_pid $master_pid; do
        kill -TERM "$pid" 2>/dev/null
        # A signal of our own interrupts `wait`: the server has ended only when it is gone.
        while alive "$pid"; do wait "$pid" 2>/dev/null; done
    done
}

master_port=$(free_port "$first_port")
replica_port=$(free_port $((master_port + 1)))

interrupted=''
trap 'interrupted=yes' INT TERM HUP

# Nobody else is expected to ask for a copy at the same time: no delay for others to join.
start master redis-master --port "$master_port" --repl-diskless-sync-delay 0
master_pid=$!
start replica redis-replica --port "$replica_port" \
    --replicaof "127.0.0.1 $master_port"
replica_pid=$!

in_sync=''
while [ -z "$interrupted" ] && alive "$master_pid" && alive "$replica_pid"; do
    if [ -z "$in_sync" ] && taken "$replica_port" && taken "$master_port" &&
        [ "$(field "$replica_port" master_link_status)" = up ] &&
        [[ "$(field "$master_port" slave0)" == *state=online* ]]; then
        in_sync=yes
        printf '\n--- redis-cli -p %s info replication\n' "$master_port"
        ask "$master_port" INFO replication
        printf '\n--- redis-cli -p %s info replication\n' "$replica_port"
        ask "$replica_port" INFO replication
        printf '\nIn sync: master on port %s, replica on port %s, data in %s. Ctrl-C stops both.\n\n' \
            "$master_port" "$replica_port" "$data"
    fi
    sleep 0.2
done

[ -n "$interrupted" ] && echo "Stopping both."
failed=''
if [ -z "$interrupted" ]; then
    echo "A server has ended by itself; stopping the other." >&2
    failed=1
fi
stop_both
wait "${readers[@]}" 2>/dev/null
exit "${failed:-0}"
