#!/usr/bin/env bash
# install.sh FROM BIN_DIR CONF_DIR BINARY...: puts binaries and example configs into place.
# A running server keeps its old binary; a config that is there already is never overwritten.
set -eu
cd "$(dirname "$0")/.."

from=$1 bin_dir=$2 conf_dir=$3
shift 3

# Each file is whole at its place or not there: copied beside it, then renamed.
put() { # SOURCE TARGET MODE
    install -m "$3" "$1" "$2.new.$$"
    mv -f "$2.new.$$" "$2"
}

install -d "$bin_dir" "$conf_dir"
for binary in "$@"; do
    put "$from/$binary" "$bin_dir/$binary" 755
    echo "installed $bin_dir/$binary"
done

for conf in conf/*.conf; do
    [ -e "$conf" ] || continue
    name=$(basename "$conf")
    put "$conf" "$conf_dir/$name.example" 644
    echo "installed $conf_dir/$name.example"
done
