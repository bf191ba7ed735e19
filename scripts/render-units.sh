#!/bin/sh
# render-units.sh OUT BIN_DIR CONF_DIR: writes the four units into the folder OUT, from the one template.
# redis-master.service and redis-replica.service are for port 6379, the templates for any.
set -eu
cd "$(dirname "$0")/.."

out=$1 bin_dir=$2 conf_dir=$3

render() { # UNIT PROGRAM PORT CONFLICTS
    sed -e "s|@NAME@|$1|g; s|@PROGRAM@|$2|g; s|@PORT@|$3|g; s|@CONFLICTS@|$4|g" \
        -e "s|@BINDIR@|$bin_dir|g; s|@CONFDIR@|$conf_dir|g" systemd/redis.service.in >"$out/$1"
}

mkdir -p "$out"
for pair in master:replica replica:master; do
    role=${pair%:*} other=${pair#*:}
    render "redis-$role.service" "redis-$role" 6379 \
        "redis-$other.service redis-$role@6379.service redis-$other@6379.service redis-server.service"
    render "redis-$role@.service" "redis-$role" %i "redis-$other@%i.service"
done
