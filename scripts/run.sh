#!/usr/bin/env bash
# run.sh BIN_DIR: a master and a replica of it on this host, until Ctrl-C. Shows the logs until both are in
# sync, then what to type next, which stays the last thing on the screen.
# Data and logs go to ./data/master and ./data/replica (TANDEM_DATA names another folder); ports are
# 6379 and 6380, or the next free ones (TANDEM_PORT names another first port).
set -u

# Ctrl-C goes to all of the terminal's foreground: to make as well, which would end by that signal whatever we
# do. A foreground job of a shell with job control is in a group of its own, and so alone to hear of it.
# Without a terminal, or in the background, there is no Ctrl-C.
outer=''
if [ "${1:-}" != --alone ]; then
    # pid (name) state ppid pgrp session tty tpgid
    read -r _ _ _ _ group _ _ foreground _ </proc/$$/stat
    if [ -t 2 ] && [ "$group" = "$foreground" ]; then
        set -m
        "$0" --alone $$ "$@"
        exit
    fi
else
    outer=$2
    shift 2
    # Stopping this group would leave make waiting, with nobody to continue it.
    trap '' TSTP
fi

bin_dir=$(cd "$1" && pwd) || exit 1
data=${TANDEM_DATA:-data}
mkdir -p "$data/master" "$data/replica" && data=$(cd "$data" && pwd) || exit 1
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

# A signal that is not the terminal's ends make or the shell that has started us, and does not reach us. Who has
# ended is still there for `alive` as long as nobody has asked how; it is no longer our parent.
is_orphan() {
    local parent
    read -r _ _ _ parent _ <"/proc/$$/stat"
    [ -n "$outer" ] && [ "$parent" != "$outer" ]
}

log_of() { echo "$data/$1/log"; }

# Each server is a process group of its own, out of reach of Ctrl-C: this script stops them in order.
start() { # NAME BINARY ARGUMENT...
    local name=$1 binary=$2
    shift 2
    set -m
    "$bin_dir/$binary" "$@" --dir "$data/$name" >>"$(log_of "$name")" 2>&1 </dev/null &
    set +m
}

# The new lines of both logs. What both hosts would say, such as the kernel's settings, is said once.
declare -A partial=() said=()
show_logs() {
    local name line text
    for name in master replica; do
        local fd=${log_fd[$name]}
        while IFS= read -r -u "$fd" line; do
            line=${partial[$name]-}$line partial[$name]=
            text=${line#*[[:digit:]] \# }
            if [ "$text" != "$line" ]; then
                [ -z "${said[$text]-}" ] || continue
                said[$text]=yes
            fi
            printf '%s | %s\n' "$name" "$line"
        done
        partial[$name]=${partial[$name]-}$line
    done
}

master_pid='' replica_pid=''
stop_both() {
    local pid
    # The replica first, so that the master does not report it as lost.
    for pid in $replica_pid $master_pid; do
        kill -TERM "$pid" 2>/dev/null
        # A signal of our own interrupts `wait`: the server has ended only when it is gone.
        while alive "$pid"; do wait "$pid" 2>/dev/null; done
    done
}

# What stays on the screen.
say_what_is_next() {
    printf '\n--- redis-cli -p %s info replication\n' "$master_port"
    ask "$master_port" INFO replication
    printf '\n--- redis-cli -p %s info replication\n' "$replica_port"
    ask "$replica_port" INFO replication
    printf '\nIn sync: master on port %s, replica on port %s.\n' "$master_port" "$replica_port"
    printf 'Logs: %s, %s\n' "$(log_of master)" "$(log_of replica)"
    printf 'Type next, in another terminal:\n\n'
    # Where none is installed, the one that was built with the servers.
    local cli=redis-cli
    command -v redis-cli >/dev/null || cli=$bin_dir/redis-cli
    printf '    %s -p %s set hello ahri\n' "$cli" "$master_port"
    printf '    %s -p %s get hello\n' "$cli" "$replica_port"
    printf '\nCtrl-C here stops both.\n'
}

master_port=$(free_port "$first_port")
replica_port=$(free_port $((master_port + 1)))
[ "$master_port" = "$first_port" ] || echo "Port $first_port is taken; the master takes $master_port."

interrupted=''
trap '[ -z "$interrupted" ] || echo "Still stopping: the servers save their data first."; interrupted=yes' INT TERM HUP
# Whoever reads what we say may be gone before the servers are.
trap : PIPE

# Earlier lives stay in the log, and off the screen.
declare -A log_fd=()
for name in master replica; do
    : >>"$(log_of "$name")" || exit 1
    exec {fd}<"$(log_of "$name")"
    log_fd[$name]=$fd
    while IFS= read -r -u "$fd" _; do :; done
done

# Nobody else is expected to ask for a copy at the same time: no delay for others to join.
start master redis-master --port "$master_port" --repl-diskless-sync-delay 0
master_pid=$!
start replica redis-replica --port "$replica_port" \
    --replicaof "127.0.0.1 $master_port"
replica_pid=$!

# What never has anything to read, to wait at. A shell that waits for a child, such as `sleep`, may be reached by
# Ctrl-C in a moment in which bash sends the signal to itself for ever.
exec {never}<> <(:) || exit 1

in_sync='' ended=''
while [ -z "$interrupted" ]; do
    alive "$master_pid" || ended=master
    alive "$replica_pid" || ended=${ended:-replica}
    [ -n "$in_sync" ] || show_logs
    [ -z "$ended" ] || break
    ! is_orphan || break
    if [ -z "$in_sync" ] && taken "$replica_port" && taken "$master_port" &&
        [ "$(field "$replica_port" master_link_status)" = up ] &&
        [[ "$(field "$master_port" slave0)" == *state=online* ]]; then
        in_sync=yes
        show_logs
        say_what_is_next
    fi
    read -r -t 0.2 -u "$never"
done

if [ -n "$ended" ]; then
    printf '\nThe %s has ended by itself; stopping the other. Its last lines, in %s:\n' "$ended" "$(log_of "$ended")" >&2
    tail -n 5 "$(log_of "$ended")" >&2
else
    printf '\nStopping both.\n'
fi
interrupted=yes
stop_both
echo "Both have stopped; their data is in $data."
[ -z "$ended" ]
