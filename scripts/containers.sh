#!/usr/bin/env bash
# containers.sh FROM BINARY...: builds the image of docker/Dockerfile and does with it what people do: `docker run`
# of a master and a replica, the compose file with its sentinels, restarts, stops, health.
# Needs root, dockerd, docker, docker-compose (or docker's plugin) and debootstrap; the first run fetches two
# small Debians, as no image is pulled. The daemon is this script's own, in a network of its own, and whatever
# happens, nothing of it is left running or mounted. With CONTAINERS_COMPILE=1 the sources are compiled in the
# image, as for everybody who has no binaries. The last line is `N checks passed`.
set -euo pipefail
cd "$(dirname "$0")/.."

from=$(realpath "$1")
shift
binaries=("$@")
target=$(realpath "${CARGO_TARGET_DIR:-target}")
. scripts/checks.sh

[ "$(id -u)" = 0 ] || fail "a docker daemon is root's: try again with sudo"
for tool in dockerd docker debootstrap nsenter unshare ip openssl; do
    command -v "$tool" >/dev/null || fail "$tool is missing (packages docker.io, debootstrap, iproute2, openssl)"
done
compose=(docker compose)
docker compose version >/dev/null 2>&1 || compose=(docker-compose)
command -v "${compose[0]}" >/dev/null || fail "docker-compose is missing"

# ---- the daemon ----

# A socket's path is short.
run=$(mktemp -d /tmp/containers.XXXXXX)
net=tandem-containers-$$
project=tandem$$
export DOCKER_HOST=unix://$run/sock COMPOSE_PROJECT_NAME=$project
export DOCKER_CONFIG=$run/client
daemon=''

clean_up() {
    status=$?
    trap - EXIT
    # Whoever is impatient would leave mounts behind.
    trap '' INT TERM HUP
    set +e
    if [ -n "$daemon" ]; then
        all=$(docker ps --all --quiet 2>/dev/null)
        if [ $status != 0 ]; then
            for id in $all; do
                docker inspect --format '--- {{.Name}}: {{.State.Status}} {{.State.ExitCode}}' "$id"
                docker logs --tail 15 "$id"
            done >&2 2>&1
            tail -n 5 "$run/daemon.log" >&2
        fi
        # shellcheck disable=SC2086
        [ -z "$all" ] || docker rm --force --volumes $all >/dev/null 2>&1
        kill -TERM "$daemon" 2>/dev/null
        wait "$daemon" 2>/dev/null
    fi
    ip netns delete "$net" 2>/dev/null
    for group in /sys/fs/cgroup/*/"$net" /sys/fs/cgroup/"$net"; do
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} \;
    done 2>/dev/null
    rm -rf --one-file-system "$run" "$target/containers/run.$$"
    [ $status = 0 ] && echo "$passed checks passed"
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# Mounts are the daemon's alone and end with it; what it writes into the system's folders goes into ours.
start_daemon() {
    local data=$target/containers/run.$$ folder
    mkdir -p "$data" "$run/client"
    for folder in etc opt run; do mkdir -p "$data/$folder.upper" "$data/$folder.work"; done
    ip netns add "$net"
    ip -n "$net" link set lo up
    # shellcheck disable=SC2016
    nsenter --net="/run/netns/$net" unshare --mount --propagation private sh -c '
        data=$1 run=$2 net=$3
        for folder in etc opt run; do
            mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$data/$folder.upper,workdir=$data/$folder.work" /$folder
        done
        exec dockerd --host "unix://$run/sock" --data-root "$data/data" --exec-root "$data/exec" \
            --pidfile "$run/pid" --cgroup-parent "/$net"
    ' - "$data" "$run" "$net" >"$run/daemon.log" 2>&1 </dev/null &
    daemon=$!
    is_up() { docker version >/dev/null 2>&1 || { kill -0 $daemon || fail "dockerd has ended: $(tail -n 3 "$run/daemon.log")"; false; }; }
    wait_for "a docker daemon of our own" is_up
}

import() { # FOLDER IMAGE [OPTION...]
    tar --directory "$1" --create --one-file-system --exclude ./.done . | docker import "${@:3}" - "$2" >/dev/null
}

# Whoever is on the host.
host_cli() { nsenter --net="/run/netns/$net" "$from/redis-cli" "$@"; } # OPTION...
cli() { docker exec "$1" redis-cli "${@:2}"; }                        # CONTAINER WORD...
host_answers() { [ "$(host_cli -p "$1" "${@:3}")" = "$2" ]; } # PORT ANSWER WORD...
answers() { [ "$(cli "$1" "${@:3}" | tr -d '\r')" = "$2" ]; }          # CONTAINER ANSWER WORD...
info_has() { cli "$1" "${@:3}" info replication | tr -d '\r' | grep -xE -- "$2" >/dev/null; } # CONTAINER PATTERN [OPTION...]
state() { docker inspect --format "{{$2}}" "$1"; }
state_is() { [ "$(state "$1" "$2")" = "$3" ]; } # CONTAINER FIELD VALUE
health_is() { state_is "$1" .State.Health.Status "$2"; }
# What the check itself says, without waiting for docker's next one.
checks_as() { [ "$(docker exec "$1" redis-healthcheck >"$run/health"; echo $?)" = "$2" ] && grep -qE -- "$3" "$run/health"; }
log_has() { docker logs "$1" 2>&1 | grep -F -- "$2" >/dev/null; }
server_status() { docker exec "$1" sed -n "s/^$2:[[:space:]]*//p" /proc/1/status | cut -f1; } # CONTAINER FIELD

# ---- the image ----

step "the image"
start_daemon
make_debian "$target/containers/base"
make_debian "$target/containers/sentinel" --include=redis-sentinel
import "$target/containers/base" test-base
import "$target/containers/sentinel" test-sentinel

context=$run/context
mkdir -p "$context"
if [ -n "${CONTAINERS_COMPILE-}" ]; then
    make_debian "$target/containers/build" --include=gcc,libc6-dev,make,binutils
    import "$target/containers/build" test-build-system
    # That it compiles is the question, not how fast the result is.
    printf 'FROM test-build-system\nENV PATH=/usr/local/rust/bin:/usr/bin:/bin CARGO_PROFILE_RELEASE_LTO=off \\\n%s' \
        'CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0
COPY . /usr/local/rust
' >"$run/build-base"
    mkdir "$run/toolchain"
    cp -a "$(rustc --print sysroot)"/{bin,lib} "$run/toolchain"
    docker build --quiet -t test-build -f "$run/build-base" "$run/toolchain" >/dev/null
    rm -rf "$run/toolchain"
    git ls-files -z | xargs -0 cp --parents -t "$context"
    # What the network would bring.
    cargo vendor --quiet --locked "$context/vendor" >/dev/null
    printf '[source.crates-io]\nreplace-with = "vendor"\n[source.vendor]\ndirectory = "vendor"\n' >>"$context/.cargo/config.toml"
    arguments=(--build-arg BUILD_BASE=test-build)
else
    cp -r docker "$context/docker"
    cp .dockerignore "$context"
    PREFIX=/usr/local CONFDIR=/etc/redis DESTDIR=$context/image scripts/install.sh "$from" "${binaries[@]}" >/dev/null
    arguments=(--build-arg BUILD_BASE=test-base --build-arg PREBUILT=image)
fi
docker build -t tandem -f "$context/docker/Dockerfile" --build-arg BASE=test-base "${arguments[@]}" "$context" \
    >"$run/build.log" 2>&1 || { tail -n 20 "$run/build.log" >&2; fail "the image cannot be built"; }
rm -rf "$context"
added=$((($(state tandem .Size) - $(state test-base .Size)) / 1000000))
echo "the image has $added MB more than its base"
check "the image is small: less than 60 MB beside its base" test "$added" -lt 60
docker run --rm tandem redis-cli --version >"$run/out"
check "another program runs as it is" grep -q '^redis-cli ' "$run/out"
docker run --rm tandem --version >"$run/out"
check "an option alone means redis-server" grep -q '^Redis server v=' "$run/out"

# ---- docker run ----

step "S3.1: docker run of a master and of a replica"
mkdir -p "$run/master/data" "$run/replica/data"
printf 'appendonly yes\n' >"$run/master/redis.conf"
gateway=$(ip -n "$net" -4 -oneline address show docker0 | sed -E 's/.* inet ([0-9.]+).*/\1/')
printf 'replicaof %s 6381\nreplica-read-only yes\n' "$gateway" >"$run/replica/redis.conf"
chmod -R go+rX "$run"
docker run -p 6381:6379 -v "$run/master/redis.conf:/etc/redis/redis.conf" -v "$run/master/data:/data" --name master \
    -d tandem redis-server /etc/redis/redis.conf >/dev/null
docker run -p 6382:6379 -v "$run/replica/redis.conf:/etc/redis/redis.conf" -v "$run/replica/data:/data" --name replica \
    -d tandem redis-server /etc/redis/redis.conf >/dev/null
wait_for "the replica is in sync" info_has replica master_link_status:up
check "set hello ahri by docker exec" answers master OK set hello ahri
wait_for "get hello on the replica" answers replica ahri get hello
check "which the host asks by the published port" host_answers 6382 ahri get hello
check "the replica is read-only" answers replica "READONLY You can't write against a read only replica." set k v
for name in master replica; do
    check "the $name's server is PID 1" test "$(server_status $name Name)" = redis-server
    check "and the user redis" test "$(server_status $name Uid)" = 999
    check "without a capability" test "$(server_status $name CapEff)" = 0000000000000000
    wait_for "and healthy" health_is $name healthy
done
check "the host's folder is redis's" test "$(stat -c %u "$run/master/data" "$run/master/data/appendonlydir" | sort -u)" = 999

step "a stop within the grace period, with everything saved"
answers master OK set before-the-stop yes
wait_for "the replica has it" answers replica yes get before-the-stop
for name in replica master; do
    docker stop $name >/dev/null
    check "the $name ends by itself" state_is $name .State.ExitCode 0
    check "and has saved" test -s "$run/$name/data/dump.rdb"
done
docker start master >/dev/null
wait_for "the data are there again" answers master yes get before-the-stop
docker start replica >/dev/null
wait_for "the replica is in sync" info_has replica master_link_status:up

step "S3.3: a restarted replica goes on from where it was"
docker restart replica >/dev/null
wait_for "the replica is in sync" info_has replica master_link_status:up
check "by +CONTINUE" log_has replica "Master accepted a Partial Resynchronization"

step "health"
check "a master is healthy" checks_as master 0 '^master, 1 replicas'
check "a replica in sync is healthy" checks_as replica 0 "^replica of $gateway:6381, in sync"
docker stop master >/dev/null
wait_for "a replica without its master is not" checks_as replica 1 "^replica of $gateway:6381, link down since [0-9]+ seconds"
docker start master >/dev/null
wait_for "until it is in sync again" checks_as replica 0 'in sync'
docker run --name patient --health-interval=1s --health-retries=1 --health-start-period=0s -d tandem \
    --replicaof "$gateway" 6399 >/dev/null
wait_for "docker says so, too: unhealthy" health_is patient unhealthy
cli patient replicaof "$gateway" 6381 >/dev/null
wait_for "and healthy" health_is patient healthy
# A tenth of a second a key.
cli master config set rdb-key-save-delay 100000 >/dev/null
cli master eval 'for i = 1, 100 do redis.call("set", "key:" .. i, i) end' 0 >/dev/null
docker rm -f patient >/dev/null
docker run --name patient --health-interval=1s --health-retries=1 --health-start-period=0s -d tandem \
    --replicaof "$gateway" 6381 >/dev/null
wait_for "a replica that syncs is unhealthy" checks_as patient 1 "^replica of $gateway:6381, sync: "
cli master config set rdb-key-save-delay 0 >/dev/null
wait_for "until its data are the master's" health_is patient healthy
docker rm -f patient >/dev/null
docker run --name patient -d tandem --port 7000 --requirepass 's3 cret' >/dev/null
wait_for "a port and a password of the command line are known to it" checks_as patient 0 '^master, 0 replicas'
check "and asked of others" answers patient "NOAUTH Authentication required." -p 7000 ping
docker rm -f patient >/dev/null
printf 'port 7001\nrequirepass "of the file"\n' >"$run/master/other.conf"
chmod go+r "$run/master/other.conf"
docker run --name patient -v "$run/master/other.conf:/etc/other.conf" -d tandem /etc/other.conf >/dev/null
wait_for "and so are those of a configuration" checks_as patient 0 '^master, 0 replicas'
cli patient -p 7001 -a 'of the file' --no-auth-warning config set requirepass changed >/dev/null
check "one that was changed is not, and a server that asks for it lives" checks_as patient 0 '^asks for a password'
docker rm -f patient >/dev/null

step "an encrypted port and no other"
mkdir "$run/tls"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=redis -days 2 \
    -keyout "$run/tls/redis.key" -out "$run/tls/redis.crt" 2>/dev/null
chmod -R go+rX "$run/tls"
tls=(--port 0 --tls-port 6379 --tls-cert-file /tls/redis.crt --tls-key-file /tls/redis.key --tls-ca-cert-file /tls/redis.crt)
docker run --name patient -v "$run/tls:/tls:ro" --health-interval=1s -d tandem "${tls[@]}" --metrics-port 9121 >/dev/null
wait_for "it is asked over TLS, with its own certificate" checks_as patient 0 '^master, 0 replicas'
wait_for "and docker says healthy" health_is patient healthy
check "as /healthz does" docker exec patient bash -c \
    'exec 3<>/dev/tcp/127.0.0.1/9121 && printf "GET /healthz HTTP/1.0\r\n\r\n" >&3 && grep -q "200 OK" <&3'
check "nobody is answered in plain words" sh -c "! docker exec patient redis-cli ping 2>/dev/null | grep -q PONG"
docker rm -f patient >/dev/null
docker run --name patient -v "$run/tls:/tls:ro" -d tandem "${tls[@]}" --tls-key-file-pass secret >/dev/null
wait_for "one whose key is under a password lives" checks_as patient 0 '^asks for a certificate'
docker rm -f patient >/dev/null

step "other ways to run it"
docker run --name other --user 1234:1234 --tmpfs /data:uid=1234 --read-only -d tandem >/dev/null
wait_for "as any user, on a file system that cannot be written" answers other PONG ping
check "whose user it is" test "$(server_status other Uid)" = 1234
check "and healthy" checks_as other 0 '^master'
docker rm -f other >/dev/null
printf 'daemonize yes\nprotected-mode yes\n' >"$run/master/other.conf"
docker run --name other -p 6383:6379 -v "$run/master/other.conf:/etc/other.conf" -d tandem redis-server /etc/other.conf >/dev/null
wait_for "'daemonize yes' does not end the container" answers other PONG ping
check "and it says why" log_has other "stays in the foreground"
check "protected-mode of the configuration holds" sh -c "nsenter --net=/run/netns/$net '$from/redis-cli' -h $gateway -p 6383 ping 2>&1 | grep -q DENIED"
docker rm -f other >/dev/null
docker run --name other -d tandem redis-server --bogus yes >/dev/null
wait_for "a wrong option ends the container" state_is other .State.Status exited
check "with status 1" state_is other .State.ExitCode 1
check "and the reason" log_has other "Bad directive or wrong number of arguments"
docker rm -f other master replica >/dev/null

# ---- docker-compose ----

step "S3.2: docker-compose up"
mkdir "$run/sources"
cp -r docker monitoring "$run/sources"
chmod -R go+rX "$run/sources"
up=("${compose[@]}" --file "$run/sources/docker/docker-compose.yml")
export SENTINEL_IMAGE=test-sentinel
"${up[@]}" up -d --no-build >"$run/up.log" 2>&1 || { cat "$run/up.log" >&2; fail "docker-compose up failed"; }
container() { "${up[@]}" ps --all --quiet "$1" 2>/dev/null || "${up[@]}" ps --quiet "$1"; }
declare -A id=()
for service in redis-master redis-slave1 redis-slave2; do id[$service]=$(container $service); done
for service in "${!id[@]}"; do wait_for "$service is healthy" health_is "${id[$service]}" healthy; done
master=${id[redis-master]}
has_both() { # SERVICE REPLICA:PORT...
    local of=$1 replica
    shift
    for replica in "$@"; do
        info_has "$of" "slave[0-9]:ip=${replica%:*},port=${replica#*:},state=online,offset=[0-9]+,lag=[01]" -p "$(port_of "$of")" || return 1
    done
}
port_of() { docker exec "$1" sed -n 's/^port //p' /data/redis.conf; }
wait_for "the master has both" has_both "$master" 172.30.79.12:6380 172.30.79.13:6381
check "which follow it by its name" info_has "${id[redis-slave1]}" master_host:redis-master -p 6380
check "set by port 6379 of the host" host_answers 6379 OK set hello ahri
for port in 6380 6381; do wait_for "get by $port" host_answers $port ahri get hello; done
# Whatever prints into a grep that stops at its first find fails of it, now and then: so none does.
answers_metrics() { # TARGET
    docker exec "${id[redis-slave1]}" timeout 5 bash -c "exec 3<>/dev/tcp/${1/://}
        printf 'GET /metrics HTTP/1.1\r\nHost: redis\r\nConnection: close\r\n\r\n' >&3; cat <&3" | grep '^redis_up 1' >/dev/null
}
targets=$(grep -oE 'redis-[a-z0-9]+:[0-9]+' docker/prometheus.yml)
for target_address in $targets; do check "Prometheus will find $target_address" answers_metrics "$target_address"; done

step "Prometheus, by the compose file's profile"
make_debian "$target/containers/prometheus" --include=prometheus
import "$target/containers/prometheus" test-prometheus --change \
    'ENTRYPOINT ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'
PROMETHEUS_IMAGE=test-prometheus "${up[@]}" --profile monitoring up -d --no-build prometheus >>"$run/up.log" 2>&1 ||
    { cat "$run/up.log" >&2; fail "docker-compose up failed"; }
prometheus=$(PROMETHEUS_IMAGE=test-prometheus "${up[@]}" --profile monitoring ps --quiet prometheus)
finds() { # EXPRESSION VALUE
    docker exec "$prometheus" promtool query instant http://127.0.0.1:9090 "$1" | grep -E "^\{\} => $2 @" >/dev/null
}
check "its configuration and the alert rules are whole" docker exec "$prometheus" promtool check config /etc/prometheus/prometheus.yml
wait_for "it reaches the three servers" finds 'sum(up{job="redis"})' 3
wait_for "which get on" finds 'sum(redis_up)' 3
wait_for "and tells the master from its replicas" finds 'count(redis_master_link_up == 1)' 2
evaluates() {
    # shellcheck disable=SC2016
    docker exec "$prometheus" bash -c 'exec 3<>/dev/tcp/127.0.0.1/9090 && printf "GET /api/v1/rules HTTP/1.0\r\n\r\n" >&3 && cat <&3' |
        grep -q '"type":"alerting"'
}
check "it evaluates the rules" evaluates
PROMETHEUS_IMAGE=test-prometheus "${up[@]}" --profile monitoring rm --stop --force prometheus >/dev/null 2>&1

step "S3.3 and restart: always"
"${up[@]}" restart redis-slave1 >/dev/null 2>&1
wait_for "a restarted replica is in sync" info_has "${id[redis-slave1]}" master_link_status:up -p 6380
check "by +CONTINUE" log_has "${id[redis-slave1]}" "Master accepted a Partial Resynchronization"
"${up[@]}" up -d --no-build --force-recreate --no-deps redis-slave2 >/dev/null 2>&1
id[redis-slave2]=$(container redis-slave2)
wait_for "a new container with the old volume is in sync" info_has "${id[redis-slave2]}" master_link_status:up -p 6381
check "by +CONTINUE" log_has "${id[redis-slave2]}" "Master accepted a Partial Resynchronization"
started=$(state "$master" .State.StartedAt)
kill -KILL "$(state "$master" .State.Pid)"
was_restarted() { [ "$(state "$master" .State.StartedAt)" != "$started" ] && answers "$master" ahri get hello; }
wait_for "a master that dies is started again, with its data" was_restarted
wait_for "and has both" has_both "$master" 172.30.79.12:6380 172.30.79.13:6381
sed -i 's/^replica-read-only .*/&\nmaxclients 777/' "$run/sources/docker/redis-slave1.conf"
"${up[@]}" restart redis-slave1 >/dev/null 2>&1
has_clients() { [ "$(cli "${id[redis-slave1]}" -p 6380 config get maxclients | tail -n 1 | tr -d '\r')" = 777 ]; }
wait_for "an edited configuration counts" has_clients

step "S5.1: three sentinels, a failover, and a power cut of everything"
for n in master:6379 slave1:6380 slave2:6381; do
    cli "${id[redis-${n%:*}]}" -p "${n#*:}" config set appendonly yes >/dev/null
    cli "${id[redis-${n%:*}]}" -p "${n#*:}" config rewrite >/dev/null
done
"${up[@]}" --profile sentinel up -d --no-build >>"$run/up.log" 2>&1 || { cat "$run/up.log" >&2; fail "docker-compose up failed"; }
for n in 1 2 3; do id[sentinel$n]=$(container sentinel$n); done
knows_all() { cli "$1" -p 26379 info sentinel | grep 'status=ok,address=[^,]*,slaves=2,sentinels=3' >/dev/null; }
for n in 1 2 3; do wait_for "sentinel $n knows all" knows_all "${id[sentinel$n]}"; done
"${up[@]}" stop redis-master >/dev/null 2>&1
master_now() { cli "${id[sentinel$1]}" -p 26379 sentinel get-master-addr-by-name mymaster | head -n 1 | tr -d '\r'; }
has_moved() { for n in 1 2 3; do case $(master_now $n) in 172.30.79.1[23]) ;; *) return 1 ;; esac; done; }
wait_for "a replica was promoted" has_moved
address=$(master_now 1)
new=redis-slave1 new_port=6380 other=172.30.79.13:6381
[ "$address" = 172.30.79.12 ] || new=redis-slave2 new_port=6381 other=172.30.79.12:6380
wait_for "which is a master" info_has "${id[$new]}" role:master -p "$new_port"
"${up[@]}" start redis-master >/dev/null 2>&1
wait_for "the old master and the other replica follow it" has_both "${id[$new]}" 172.30.79.11:6379 "$other"
check "a write after the failover" answers "${id[$new]}" OK -p "$new_port" set after-the-failover yes
cli "${id[$new]}" -p "$new_port" waitaof 1 2 5000 >/dev/null
# All at once, and docker brings them up in its own order.
for service in "${!id[@]}"; do kill -KILL "$(state "${id[$service]}" .State.Pid)"; done
wait_for "after the power cut the promoted is the master" info_has "${id[$new]}" role:master -p "$new_port"
wait_for "which both follow" has_both "${id[$new]}" 172.30.79.11:6379 "$other"
check "and no write is gone" answers "${id[$new]}" yes -p "$new_port" get after-the-failover
all_say() { for n in 1 2 3; do [ "$(master_now $n)" = "$address" ] || return 1; done; }
wait_for "and all sentinels say so" all_say

step "docker-compose down"
"${up[@]}" --profile sentinel --profile monitoring stop >/dev/null 2>&1
for service in redis-master redis-slave1 redis-slave2; do
    check "$service has ended by itself" state_is "${id[$service]}" .State.ExitCode 0
done
"${up[@]}" --profile sentinel --profile monitoring down --volumes >/dev/null 2>&1
check "nothing is left" test -z "$(docker ps --all --quiet)"
echo
