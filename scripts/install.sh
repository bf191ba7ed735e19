#!/usr/bin/env bash
# install.sh FROM BIN_DIR CONF_DIR BINARY...: puts binaries and example configs into place. Binaries are
# stripped; their debug info goes beside them, where debuggers and our own backtraces look for it.
# A running server keeps its old binary; a config that is there already is never overwritten.
set -eu
cd "$(dirname "$0")/.."

from=$1 bin_dir=$2 conf_dir=$3
shift 3

# Each file is whole at its place or not there: copied beside it, then renamed.
put() { # SOURCE TARGET MODE
    install -m "$3" "$1" "$2.new.$$"
    mv -f "$2.new.$$" "$2"
    echo "installed $2"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

install -d "$bin_dir" "$conf_dir"
for binary in "$@"; do
    if command -v objcopy >/dev/null; then
        # The binary names its debug info by file name and checksum.
        objcopy --only-keep-debug "$from/$binary" "$work/$binary.debug"
        objcopy --strip-all --add-gnu-debuglink="$work/$binary.debug" "$from/$binary" "$work/$binary"
        put "$work/$binary.debug" "$bin_dir/$binary.debug" 644
        put "$work/$binary" "$bin_dir/$binary" 755
    else
        echo "objcopy is not here (package binutils): $binary keeps its debug info inside" >&2
        put "$from/$binary" "$bin_dir/$binary" 755
    fi
done

for conf in conf/*.conf; do
    [ -e "$conf" ] || continue
    put "$conf" "$conf_dir/$(basename "$conf").example" 644
done
