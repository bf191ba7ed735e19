# shellcheck shell=bash disable=SC2154
# Sourced by hosts.sh: every command that README and docs/ show in a block is typed as it stands, page by page, on
# the three hosts: 10.0.0.1 is the master, and is also called old; 10.0.0.2 and 10.0.0.3 are replicas, 10.0.0.2 is
# also called new. A command has to end well and answer no error. What is not typed here is listed, with the reason.

# What other tests type, or what is not ours: a pattern, and who does.
docs_elsewhere=(
    'make *' 'make_targets.rs and install.rs; hosts.sh itself installs by make'
    'target/release/*' 'the servers of this host, by make run in make_targets.rs'
    'mkdir -p /tmp/a /tmp/b' 'the same'
    'redis-cli -p 6379 set hello ahri' 's5_6 in make_targets.rs'
    'redis-cli -p 6380 get hello' 'the same'
    'redis-install-server' 'the story of hosts.sh begins with it'
    'docker *' 'make containers'
    'redis-sentinel *' 'is of Redis: sentinel.rs'
    'sysctl *' 'is of the kernel, which the containers share'
)

# Where a command is typed, when not at the master.
declare -A docs_typed_on=(
    ['REDIS_PASSWORD=secret redis-install-server --yes --bind 0.0.0.0 --role replica --master-host 10.0.0.1']=2
    ['journalctl -u redis-replica']=2
    ['redis-cli -h 10.0.0.1 --rdb /backup/dump.rdb']=3
    ['redis-check-rdb /backup/dump.rdb']=3
    ['redis-replica /etc/redis/6379.conf --replicaof "old 6379"']=2
    ['redis-cli --tls --cacert ca.crt --cert client.crt --key client.key -p 6379']=3
)

# These go on until somebody ends them.
docs_endless=('tail -f *' 'redis-cli --stat')
docs_servers=('redis-master *' 'redis-replica *')

# What is answered with an error on purpose, and which.
declare -A docs_refused=(['redis-cli --user app --pass apppass flushall']=NOPERM)

# What is typed at a prompt.
declare -A docs_answers=(
    ['redis-cli --askpass ping']=secret
    ['redis-cli --tls --cacert ca.crt --cert client.crt --key client.key -p 6379']=PING
)

# The state that a heading, or a line, begins in.
declare -A docs_before=(
    ['REDIS_PASSWORD=secret redis-install-server --yes --bind 0.0.0.0']='remove 1'
    ['REDIS_PASSWORD=secret redis-install-server --yes --bind 0.0.0.0 --role replica --master-host 10.0.0.1']='remove 2'
    ['## Snapshots (RDB)']='roles 1'
    ['### With one command']='roles 1'
    ['redis-cli -h 10.0.0.1 failover to 10.0.0.2 6379 timeout 10000']='roles 1'
    ['### By hand']='roles 1'
    ['## The master is dead']='die'
    ['## 1. Look at the old server']='roles 1'
    ['redis-replica /etc/redis/6379.conf --replicaof "old 6379"']='on 2 systemctl stop redis-replica'
    ['redis-cli -h new config set masterauth secret']='end_server; on 2 systemctl start redis-replica; patiently answers 2'
    ['## 3. Change over']='patiently is_up 2'
    ['## 4. The way back']='patiently is_up 1'
    ['## Without a network between them']='on 1 systemctl start redis-master; patiently answers 1'
    ['## At once, with what is there']='end_server; on 1 systemctl start redis-master; roles 1'
    ['## Turn it on']='serve_tls'
    ['## Renew them']='end_server; on 3 systemctl start redis-replica; certify 1'
    ['## It does not start']='cli 1 save'
)

# ---- states ----

patiently() { # COMMAND...
    local end=$((SECONDS + ${CHECKS_PATIENCE:-600}))
    until "$@" 2>/dev/null; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
remove() { on "$1" redis-install-server --remove 6379 --purge --yes; }
is_up() { info_has "$1" master_link_status:up; }
answers() { [ "$(cli "$1" ping)" = PONG ]; }
# Its log is on its terminal, unless it has an instance's configuration.
serves() { # HOST COMMAND
    case $2 in
        */etc/redis/6379.conf*) answers "$1" ;;
        *) grep -q 'Ready to accept' "$run/docs-served" ;;
    esac
}
roles() { # MASTER
    local n
    cli "$1" replicaof no one
    for n in 1 2 3; do
        [ "$n" = "$1" ] || cli "$n" replicaof "$(address "$1")" 6379
    done
    patiently both_online "$1"
}
die() {
    roles 1
    on 1 systemctl stop redis-master
}
end_server() {
    # A shell of ours, nsenter, and the server, which is not ended with either.
    [ -z "$docs_server" ] || { pkill -TERM -P "$(pgrep -d, -P "$docs_server")"; wait "$docs_server"; } || true
    docs_server=
}
# An authority, and what it has signed, where docs/tls.md has them.
certify() { # HOST
    local at=$run/h$1/etc/redis/tls name
    mkdir -p "$at"
    openssl req -x509 -nodes -newkey rsa:2048 -days 9 -subj /CN=ca -keyout "$at/ca.key" -out "$at/ca.crt"
    for name in redis client; do
        openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$at/$name.key" -out "$at/$name.csr"
        openssl x509 -req -in "$at/$name.csr" -CA "$at/ca.crt" -CAkey "$at/ca.key" -CAcreateserial -days 9 -out "$at/$name.crt"
    done
    on "$1" chown -R redis:redis /etc/redis/tls
    [ "$1" != 1 ] || cli 1 config set tls-cert-file /etc/redis/tls/redis.crt tls-key-file /etc/redis/tls/redis.key \
        tls-ca-cert-file /etc/redis/tls/ca.crt
}
# A server of the block of directives that the page shows.
serve_tls() {
    certify 3
    on 3 systemctl stop redis-replica
    { echo 'dir /tmp'; grep -E '^    (tls-|port )' docs/tls.md | sed 's/ *#.*//'; } >"$run/h3/etc/redis/tls/tls.conf"
    serve 3 redis-server /etc/redis/tls/tls.conf
    patiently serves 3 tls.conf
}

# ---- typing ----

# Headings and commands of a page, in order. Blocks within fences are output and configuration.
docs_lines() { # PAGE
    awk '
        /^ *```/ { fenced = !fenced; next }
        fenced { next }
        /^#/ { print; next }
        /^    / {
            sub(/^ +/, ""); sub(/ +# .*/, "")
            # Box drawings, directives and questions of the installer.
            if ($0 ~ /^(clients ──|│|└|tls-|port [0-9]|[A-Z][a-z]+ .*: )/ || $0 == "") next
            print
        }' "$1"
}

is_one_of() { # LINE PATTERN...
    local line=$1 pattern
    shift
    # shellcheck disable=SC2053
    for pattern; do [[ $line != $pattern ]] || return 0; done
    return 1
}

# A server in the foreground of somebody's terminal: with an instance's configuration as the service's user, whose
# files it writes.
serve() { # HOST COMMAND...
    local n=$1 as=()
    shift
    case $* in */etc/redis/*) as=(setpriv --reuid=redis --regid=redis --clear-groups) ;; esac
    on "$n" "${as[@]}" "$@" >"$run/docs-served" 2>&1 &
    docs_server=$!
}

type_as_it_stands() { # HOST LINE
    local n=$1 line=$2 status=0 patience=60
    if is_one_of "$line" "${docs_servers[@]}"; then
        serve "$n" bash -c "exec $line"
        patiently serves "$n" "$line" || { cat "$run/docs-served" >&2; return 1; }
        return 0
    fi
    is_one_of "$line" "${docs_endless[@]}" && patience=2
    [ "$line" != 'kill -9 PID' ] || line="kill -9 $(on "$n" pgrep -f -n 'port 7000|:7000')"
    on "$n" timeout "$patience" bash -c "set -o pipefail; cd /etc/redis/tls 2>/dev/null; $line" \
        >"$run/docs-said" 2>&1 <<<"${docs_answers[$line]-}" || status=$?
    if [ -n "${docs_refused[$line]-}" ]; then
        grep -q "^${docs_refused[$line]}" "$run/docs-said"
    else
        { [ $status = 0 ] || { [ $status = 124 ] && [ $patience = 2 ]; }; } &&
            ! grep -qE '^(ERR|[A-Z]{5,} [A-Z][a-z])' "$run/docs-said"
    fi || {
        echo "status $status:" >&2
        cat "$run/docs-said" >&2
        return 1
    }
}

docs_server=
type_what_the_docs_say() {
    local page line i skipped n
    for line in "${!docs_typed_on[@]}" "${!docs_refused[@]}" "${!docs_answers[@]}" "${!docs_before[@]}"; do
        grep -qF -- "$line" README.md docs/*.md || fail "no page says any more: $line"
    done
    for n in 1 2 3; do
        on "$n" sh -c "mkdir -p /backup && printf '%s old\n%s new\n' $(address 1) $(address 2) >>/etc/hosts"
    done
    for page in README.md docs/quick-start.md docs/durability.md docs/failover.md docs/migration.md \
        docs/monitoring.md docs/replication.md docs/security.md docs/sizing.md docs/tls.md docs/troubleshooting.md; do
        while IFS= read -r line <&4; do
            if [ -n "${docs_before[$line]-}" ]; then
                eval "${docs_before[$line]}" >"$run/docs-before" 2>&1 || { cat "$run/docs-before" >&2; fail "before: $line"; }
            fi
            [ "${line#\#}" = "$line" ] || continue
            skipped=
            for ((i = 0; i < ${#docs_elsewhere[@]}; i += 2)); do
                ! is_one_of "$line" "${docs_elsewhere[i]}" || skipped=yes
            done
            [ -n "$skipped" ] ||
                check "$page: $line" type_as_it_stands "${docs_typed_on[$line]-1}" "$line"
        done 4< <(docs_lines "$page")
    done
}
