#!/usr/bin/env bash
# hosts.sh FROM BINARY...: three hosts with a systemd each, in containers with a network of their own, and on
# them what an operator does: install, start, sync, reload, stop, reboot, kill, fail over by hand, rotate.
# Needs root, systemd-nspawn (package systemd-container) and debootstrap; the first run fetches a small Debian.
# Whatever happens, nothing of it is left running or mounted. The last line is `N checks passed`.
set -euo pipefail
cd "$(dirname "$0")/.."

from=$(realpath "$1")
shift
binaries=("$@")
target=$(realpath "${CARGO_TARGET_DIR:-target}")
base=$target/hosts/base
packages=systemd,systemd-sysv,dbus,iproute2,procps,logrotate,curl,redis-tools
. scripts/checks.sh
. scripts/hosts-docs.sh

[ "$(id -u)" = 0 ] || fail "containers are root's: try again with sudo"
for tool in systemd-nspawn debootstrap nsenter ip; do
    command -v "$tool" >/dev/null || fail "$tool is missing (packages systemd-container, debootstrap, iproute2)"
done

# ---- the hosts ----

run=$target/hosts/run.$$
net=tandem-hosts-$$
declare -A spawned=()

clean_up() {
    status=$?
    trap - EXIT
    # Whoever is impatient would leave mounts behind.
    trap '' INT TERM HUP
    set +e
    if [ $status != 0 ]; then
        for n in "${!spawned[@]}"; do
            printf '\n--- host %s\n' "$n" >&2
            tail -n 20 "$run/h$n/var/log/redis_6379.log" >&2 2>/dev/null
            if is_spawned "$n" && [ -n "$(init_of "$n")" ]; then
                on "$n" journalctl --no-pager -n 15 -u 'redis-*' >&2
            else
                tail -n 5 "$run/console$n" >&2 2>/dev/null
            fi
        done
    fi
    for n in "${!spawned[@]}"; do ! is_spawned "$n" || kill -TERM "${spawned[$n]}" 2>/dev/null; done
    for n in "${!spawned[@]}"; do
        if is_spawned "$n"; then
            for _ in $(seq 100); do
                kill -0 "${spawned[$n]}" 2>/dev/null || break
                sleep 0.1
            done
            kill -KILL "$(init_of "$n")" "${spawned[$n]}" 2>/dev/null
            wait "${spawned[$n]}" 2>/dev/null
        fi
        # nspawn leaves these where /run is no tmpfs.
        rm -f "/run/systemd/nspawn/locks/$(stat -c 'inode-%d:%i' "$run/h$n")"
        rmdir "/run/systemd/nspawn/propagate/tandem-h$n" 2>/dev/null
        umount "$run/h$n" 2>/dev/null || umount --lazy "$run/h$n" 2>/dev/null
    done
    ip netns delete "$net" 2>/dev/null
    for group in /sys/fs/cgroup/"$net" /sys/fs/cgroup/*/"$net"; do
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} \;
    done 2>/dev/null
    rm -rf --one-file-system "$run"
    [ $status = 0 ] && echo "$passed checks passed"
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

address() { echo "10.0.0.$1"; }
# To signal 0 is to signal ourselves.
is_spawned() { [ "${spawned[$1]}" != 0 ]; }
# The container's PID 1, seen from here; another one after a reboot.
init_of() { pgrep -P "${spawned[$1]}" | head -n 1; }
on() { # HOST COMMAND...
    local n=$1
    shift
    nsenter --target "$(init_of "$n")" --mount --uts --ipc --net --pid --cgroup --root --wdns=/ -- \
        env -i REDISCLI_AUTH=secret PATH=/usr/local/redis/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C "$@"
}
cli() { # HOST COMMAND...
    local n=$1
    shift
    on "$n" /usr/bin/redis-cli "$@"
}

make_host() { # HOST
    local root=$run/h$1
    mkdir -p "$root" "$run/upper$1" "$run/work$1"
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$run/upper$1,workdir=$run/work$1" "$root"
    # So that it is unmounted again, whether it ever boots or not.
    spawned[$1]=0
    echo "h$1" >"$root/etc/hostname"
    mkdir -p "$root/etc/systemd/network"
    printf '[Match]\nName=host0\n[Network]\nAddress=%s/24\nLinkLocalAddressing=no\n' "$(address "$1")" \
        >"$root/etc/systemd/network/10-host0.network"
    systemctl --root="$root" enable --quiet systemd-networkd systemd-networkd-wait-online
    systemctl --root="$root" mask --quiet apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer
}

# Each in control groups of its own: the same units in the same ones would be each other's to kill and to remove.
boot() { # HOST
    (
        for groups in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
            [ -e "$groups/cgroup.procs" ] || continue
            mkdir -p "$groups/$net/h$1"
            echo "$BASHPID" >"$groups/$net/h$1/cgroup.procs"
        done
        exec nsenter --net="/run/netns/$net" systemd-nspawn --quiet --boot --register=no --keep-unit \
            --network-bridge=br0 --directory="$run/h$1" --machine="tandem-h$1"
    ) >"$run/console$1" 2>&1 </dev/null &
    spawned[$1]=$!
}

# ---- what is checked ----

unit_is() { [ "$(on "$1" systemctl show -p "$3" --value "$2")" = "$4" ]; } # HOST UNIT PROPERTY VALUE
# `systemctl status` ends with 3 where a unit is not active, as while it stops.
status_has() { { on "$1" systemctl status --no-pager "$2" || true; } | grep -E -- "Status: \".*$3" >/dev/null; } # HOST UNIT PATTERN
info_has() { cli "$1" "${@:3}" info replication | tr -d '\r' | grep -xE -- "$2" >/dev/null; } # HOST PATTERN [OPTION...]
log_has() { on "$1" grep -qF -- "$2" "${3:-/var/log/redis_6379.log}"; } # HOST TEXT [FILE]
# It says so with status 1 when a unit of Debian's has failed, as on a busy machine.
is_booted() { { on "$1" systemctl is-system-running || true; } | grep -xE 'running|degraded' >/dev/null; }
both_online() {
    for n in 1 2 3; do
        [ "$n" = "$1" ] || info_has "$1" "slave[01]:ip=$(address "$n"),port=6379,state=online,offset=[0-9]+,lag=[01]" || return 1
    done
}
same_data() { # HOST...
    local n first digest
    first=$(cli "$1" debug digest)
    for n in "$@"; do
        digest=$(cli "$n" debug digest)
        [ "$digest" = "$first" ] && [ ${#digest} = 40 ] || return 1
    done
}
main_pid() { on "$1" systemctl show -p MainPID --value "$2"; }

# ---- the story ----

step "three hosts"
mkdir -p "$run"
make_debian "$base" --include=$packages
# What our packages stand in for, as Debian has it.
if ! ls "$target"/hosts/debian/redis-server_*.deb >/dev/null 2>&1; then
    mkdir -p "$target/hosts/debian"
    (cd "$target/hosts/debian" && apt-get -o APT::Sandbox::User=root download redis-server redis-tools >/dev/null) ||
        fail "apt-get download of redis-server and redis-tools failed"
fi
ip netns add "$net"
ip -n "$net" link add br0 type bridge
ip -n "$net" link set br0 up
# S1.1: whose prefix systemd knows of, the default one, and one that systemd does not know. What is in FROM is
# installed, whatever the sources say.
prefixes=(none /usr /usr/local /usr/local/redis)
make_host 1
make_host 2
make_host 3
make CARGO=true RELEASE_DIR="$from" PREFIX=/usr DESTDIR="$run/h1" install >"$run/install1"
make CARGO=true RELEASE_DIR="$from" DESTDIR="$run/h2" install >"$run/install2"
make CARGO=true RELEASE_DIR="$from" PREFIX=/usr/local/redis DESTDIR="$run/h3" install >"$run/install3"
for n in 1 2 3; do
    for name in "${binaries[@]}"; do
        check "S1.1: host $n has $name in ${prefixes[$n]}/bin" test -x "$run/h$n${prefixes[$n]}/bin/$name"
    done
    boot "$n"
done
for n in 1 2 3; do
    wait_for "host $n is up" is_booted "$n"
    on "$n" systemd-sysusers
    on "$n" systemd-tmpfiles --create
done

step "S1.2: the installer, with Enter for every question, and without questions"
printf '\n\n\n\n\n\n\n\n\n' | on 1 redis-install-server >"$run/installer1" ||
    { cat "$run/installer1" >&2; fail "the installer failed"; }
check "the master's unit runs" unit_is 1 redis-master ActiveState active
check "it starts with the host" on 1 systemctl is-enabled --quiet redis-master
for n in 2 3; do
    on "$n" redis-install-server --yes --role replica --master-host "$(address 1)" --bind 0.0.0.0 >"$run/installer$n" ||
        { cat "$run/installer$n" >&2; fail "the installer failed"; }
done
on 1 redis-install-server --yes >"$run/again" 2>&1 && fail "a second instance was installed over the first"
check "a second instance on the same port is refused, with the reason" grep -q 'is there already' "$run/again"

step "S1.3: the master listens to all, by its configuration and a restart"
restart_all() {
    on 1 systemctl restart redis-master
    on 2 systemctl restart redis-replica
    on 3 systemctl restart redis-replica
}
on 1 sed -i 's/^bind .*/bind 0.0.0.0/' /etc/redis/6379.conf
on 1 systemctl restart redis-master
wait_for "without a password it refuses, and the replica says why" log_has 2 "'-DENIED Redis is running in protected mode"
check "and how its link is" status_has 2 redis-replica "Replica of $(address 1):6379, "
for n in 1 2 3; do
    on "$n" sh -c "printf 'requirepass secret\nmasterauth secret\nenable-debug-command local\n' >>/etc/redis/6379.conf"
done
on 1 sed -i 's/^daemonize .*/daemonize yes/' /etc/redis/6379.conf
restart_all
check "a unit runs with daemonize yes" unit_is 1 redis-master ActiveState active
on 1 sed -i 's/^daemonize .*/daemonize no/' /etc/redis/6379.conf

step "S1.5: info replication"
wait_for "both replicas are online" both_online 1
check "role:master" info_has 1 role:master
check "connected_slaves:2" info_has 1 connected_slaves:2
check "systemctl status tells role and replicas" status_has 1 redis-master 'Master, 2 replicas online'
wait_for "and the replica's its link" status_has 2 redis-replica "Replica of $(address 1):6379, link up"

step "S1.4: a sync of a million keys, told on both sides"
keys=${HOSTS_KEYS:-1000000}
awk -v keys="$keys" 'BEGIN { for (i = 0; i < keys; i++) printf "SET key:%07d value-of-%d-with-some-length-to-it\r\n", i, i }' |
    cli 1 --pipe >/dev/null
check "$keys keys" test "$(cli 1 dbsize)" = "$keys"
cli 1 config set rdb-key-save-delay -4 >/dev/null
on 2 systemctl stop redis-replica
on 2 sh -c 'rm -rf /var/lib/redis/6379/*'
on 2 systemctl start redis-replica
figures='[0-9.]+%\), [0-9.]+ MB/s, [0-9]+ seconds left'
wait_for "the master's status has percent, MB/s and time left" status_has 1 redis-master "sync to $(address 2):6379: .*$figures"
wait_for "the replica's status, too" status_has 2 redis-replica "Replica of $(address 1):6379, sync: .*$figures"
wait_for "the replica's log" on 2 grep -qE "MASTER <-> REPLICA sync: received .*$figures" /var/log/redis_6379.log
wait_for "the sync ends" info_has 2 master_link_status:up
cli 1 config set rdb-key-save-delay 0 >/dev/null
for line in "Connecting to MASTER $(address 1):6379" "MASTER <-> REPLICA sync started" \
    "Full resync from master: " "MASTER <-> REPLICA sync: Flushing old data" \
    "MASTER <-> REPLICA sync: Loading DB in memory" "MASTER <-> REPLICA sync: Finished with success"; do
    check "the replica's log: $line" log_has 2 "$line"
done
check "the master's log: who asks" log_has 1 "Replica $(address 2):6379 asks for synchronization"
check "the master's log: how far it is" on 1 grep -qE "$(address 2):6379.*$figures" /var/log/redis_6379.log
check "the master's log: how it ends" log_has 1 "Synchronization with replica $(address 2):6379 succeeded"
wait_for "the data are equal" same_data 1 2 3

step "reload and rotation of the log"
on 1 systemctl reload redis-master
wait_for "a reload is logged" log_has 1 "Received SIGHUP"
check "and the unit is active" unit_is 1 redis-master ActiveState active
on 1 logrotate --force /etc/logrotate.d/redis
on 1 systemctl reload redis-master
wait_for "lines go to the new file" log_has 1 "Received SIGHUP"
check "the old one is kept" on 1 test -s /var/log/redis_6379.log.1
check "the new one is the service's" test "$(on 1 stat -c %U:%a /var/log/redis_6379.log)" = redis:640

step "a stop that waits for a replica"
on 3 systemctl kill --kill-whom=main --signal=STOP redis-replica
cli 1 set after-the-freeze yes >/dev/null
on 1 systemctl stop --no-block redis-master
wait_for "the status says for whom it waits" status_has 1 redis-master 'Stopping: waiting for 1 replica to catch up'
on 3 systemctl kill --kill-whom=main --signal=CONT redis-replica
wait_for "it ends" unit_is 1 redis-master ActiveState inactive
check "as a success" unit_is 1 redis-master Result success
check "with the replica in sync" log_has 1 "2 of 2 replicas are in sync when shutting down"
on 1 systemctl start redis-master
wait_for "both replicas are online" both_online 1
wait_for "the data are equal" same_data 1 2 3
check "the last write is everywhere" test "$(cli 3 get after-the-freeze)" = yes

step "S3.3: a reboot of a replica's host, after which it goes on where it was"
cli 2 config set appendonly no >/dev/null
cli 2 config rewrite >/dev/null
on 2 systemctl poweroff
is_down() { ! kill -0 "${spawned[2]}"; }
wait_for "the host goes down" is_down
boot 2
wait_for "and comes up" is_booted 2
wait_for "both replicas are online" both_online 1
check "its unit was started by the host" unit_is 2 redis-replica ActiveState active
check "there was no full copy" log_has 2 "Master accepted a Partial Resynchronization"

step "kill -9 of the master"
cli 1 set before-the-kill yes >/dev/null
cli 1 waitaof 1 1 5000 >/dev/null
on 1 systemctl kill --kill-whom=main --signal=KILL redis-master
wait_for "systemd starts it again" unit_is 1 redis-master NRestarts 1
wait_for "both replicas are online" both_online 1
check "nothing is lost" test "$(cli 1 get before-the-kill)" = yes
wait_for "the data are equal" same_data 1 2 3

step "a failover by hand outlives a restart of every unit"
cli 2 replicaof no one >/dev/null
for n in 1 3; do cli "$n" replicaof "$(address 2)" 6379 >/dev/null; done
for n in 1 2 3; do check "host $n keeps its role in its file" test "$(cli "$n" config rewrite)" = OK; done
wait_for "both follow the promoted" both_online 2
restart_all
wait_for "both follow the promoted" both_online 2
check "which runs by its old unit" unit_is 2 redis-replica ActiveState active
check "as a master" info_has 2 role:master
check "and the old master as a replica" info_has 1 role:slave
cli 2 set after-the-failover yes >/dev/null
wait_for "the data are equal" same_data 1 2 3

step "a failover by redis-cli --promote, under load"
on 2 sh -c 'while :; do redis-cli --no-auth-warning incr promoted-over >/dev/null 2>&1 || sleep 0.1; done' &
load=$!
plan=$(on 3 redis-cli -h "$(address 2)" --promote "$(address 1):6379")
check "without --yes it tells what it would do" grep -q 'Nothing was changed' <<<"$plan"
check "and does not do it" info_has 2 role:master
on 3 redis-cli -h "$(address 2)" --promote "$(address 1):6379" --yes >"$run/promotion" ||
    { cat "$run/promotion" >&2; fail "the promotion failed"; }
check "the heir is the master" info_has 1 role:master
wait_for "both follow it" both_online 1
kill "$load"
wait "$load" 2>/dev/null || true
wait_for "the data are equal" same_data 1 2 3
# Where the story goes on.
cli 1 replicaof "$(address 2)" 6379 >/dev/null
cli 2 replicaof no one >/dev/null
cli 3 replicaof "$(address 2)" 6379 >/dev/null
for n in 1 2 3; do cli "$n" config rewrite >/dev/null; done
wait_for "both are online again" both_online 2

step "the watchdog"
on 1 mkdir -p /run/systemd/system/redis-master.service.d
on 1 sh -c 'printf "[Service]\nWatchdogSec=3s\n" >/run/systemd/system/redis-master.service.d/watchdog.conf'
on 1 systemctl daemon-reload
on 1 systemctl restart redis-master
hung=$(main_pid 1 redis-master)
on 1 kill -STOP "$hung"
was_replaced() { local now; now=$(main_pid 1 redis-master) && [ "$now" != 0 ] && [ "$now" != "$hung" ]; }
wait_for "a loop that hangs is ended and started again" was_replaced
check "by the watchdog" sh -c "nsenter -t $(init_of 1) -a journalctl -u redis-master --no-pager | grep -q 'Watchdog timeout'"
wait_for "both are online again" both_online 2
# Three seconds are little for what comes next.
on 1 rm -r /run/systemd/system/redis-master.service.d
on 1 systemctl daemon-reload
on 1 systemctl restart redis-master
wait_for "both are online again" both_online 2

step "S1.6: disable, enable, stop, start, and the journal"
on 1 systemctl disable --quiet redis-master
check "it does not start with the host" unit_is 1 redis-master UnitFileState disabled
on 1 systemctl enable --quiet redis-master
check "it does" unit_is 1 redis-master UnitFileState enabled
on 1 systemctl stop redis-master
check "a stop is a clean end" unit_is 1 redis-master Result success
check "that saves what has to be saved" log_has 1 "Redis is now ready to exit, bye bye..."
on 1 systemctl start redis-master
wait_for "both are online again" both_online 2
check "the journal tells of both" sh -c "nsenter -t $(init_of 1) -a journalctl -u redis-master --no-pager | grep -q 'Started.*redis-master'"

step "what README and docs/ say is typed, as it stands"
type_what_the_docs_say

step "a second instance on a host, by the environment, and its removal"
on 3 env REDIS_PORT=7000 REDIS_DATA_DIR=/srv/redis-7000 redis-install-server --yes >"$run/second" ||
    { cat "$run/second" >&2; fail "the second instance failed"; }
check "it runs by the template" unit_is 3 redis-master@7000 ActiveState active
check "in a directory of its choice" test "$(cli 3 -p 7000 --no-auth-warning set k v)" = OK
check "that it may rewrite" test "$(cli 3 -p 7000 config rewrite)" = OK
on 3 redis-install-server --remove 7000 --yes >"$run/removed"
check "it is gone" unit_is 3 redis-master@7000 ActiveState inactive
check "and its data are not" on 3 test -d /srv/redis-7000/appendonlydir
check "the first one stays" info_has 3 role:slave

step "uninstall"
on 3 redis-install-server --remove 6379 --yes >"$run/removed"
PREFIX=${prefixes[3]} CONFDIR=/etc/redis DESTDIR=$run/h3 scripts/uninstall.sh >"$run/uninstall"
check "no program is left" on 3 test ! -e /usr/local/redis/bin/redis-server
check "the data are" on 3 test -d /var/lib/redis/6379/appendonlydir

step "the package: install, upgrade under load, remove, purge"
scripts/deb.sh "$from" "$run/deb" "${binaries[@]}" >/dev/null
if command -v lintian >/dev/null; then
    check "lintian finds nothing" test -z "$(lintian --fail-on none "$run"/deb/*.deb 2>/dev/null)"
fi
mkdir "$run/h3/debs"
cp "$run"/deb/*.deb "$run/h3/debs"
cp "$target"/hosts/debian/*.deb "$run/h3/debs"
quietly() { # HOST COMMAND...
    on "$@" >"$run/dpkg" 2>&1 || { cat "$run/dpkg" >&2; fail "failed: ${*:2}"; }
}
is_installed() { [ "$(on 3 dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
is_gone() { ! is_installed "$1"; }
quietly 3 sh -c 'printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && dpkg -i /debs/redis-*.deb'
check "Debian's redis-server is there" is_installed redis-server
quietly 3 sh -c 'rm /usr/sbin/policy-rc.d; apt-get install -y /debs/tandem-server_*.deb /debs/tandem-tools_*.deb'
for package in tandem-server tandem-tools; do check "apt installs $package" is_installed $package; done
for package in redis-server redis-tools; do check "in place of $package" is_gone $package; done
check "whose commands are ours" sh -c "nsenter -t $(init_of 3) -a redis-cli --help 2>&1 | grep -q -- --promote"
quietly 3 sh -c 'mkdir -p /tmp/needs/DEBIAN && printf "Package: needs-redis\nVersion: 1\nArchitecture: all\nMaintainer: T <t@t.invalid>\nDepends: redis-server (>= 5:7), redis-tools\nDescription: x\n" >/tmp/needs/DEBIAN/control && dpkg-deb --build /tmp/needs /debs/needs.deb && dpkg -i /debs/needs.deb'
check "who needs redis-server and redis-tools is content" is_installed needs-redis
quietly 3 dpkg --purge needs-redis
on 3 sh -c 'dpkg -i /debs/redis-tools_*.deb' >"$run/dpkg" 2>&1 && fail "Debian's redis-tools was installed beside ours"
check "Debian's cannot be installed beside ours" grep -q 'conflict' "$run/dpkg"
on 3 redis-install-server --yes --port 7001 >"$run/packaged" || { cat "$run/packaged" >&2; fail "the installer failed"; }
check "an instance runs" unit_is 3 redis-master@7001 ActiveState active
before=$(main_pid 3 redis-master@7001)
on 3 sh -c 'while :; do redis-cli -p 7001 --no-auth-warning incr n >/dev/null 2>&1 || sleep 0.1; done' &
load=$!
on 3 sh -c 'dpkg -i /debs/tandem-server_*.deb' >"$run/dpkg" 2>&1 || { cat "$run/dpkg" >&2; fail "the upgrade failed"; }
check "the upgrade has started the new program" test "$(main_pid 3 redis-master@7001)" != "$before"
wait_for "it serves" sh -c "[ \"\$(nsenter -t $(init_of 3) -a redis-cli -p 7001 get n)\" -gt 10 ]"
kill "$load"
wait "$load" 2>/dev/null || true
on 3 dpkg --remove tandem-server >"$run/dpkg" 2>&1
check "a removal stops it" test -z "$(on 3 pgrep -f redis-master || true)"
check "and leaves its data" on 3 test -d /var/lib/redis/7001/appendonlydir
on 3 dpkg --purge tandem-server >"$run/dpkg" 2>&1
check "which a purge takes" on 3 test ! -e /var/lib/redis/7001
check "with its configuration" on 3 test ! -e /etc/redis/7001.conf
quietly 3 dpkg --purge tandem-tools
check "no program is left" on 3 test ! -e /usr/bin/redis-server -a ! -e /usr/bin/redis-cli
quietly 3 sh -c 'dpkg -i /debs/redis-tools_*.deb'
check "and Debian's tools can come back" is_installed redis-tools
echo
