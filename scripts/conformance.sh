#!/usr/bin/env bash
# conformance.sh BIN_DIR [UNIT...]: runs units of Redis's own Tcl suite against the redis-server in BIN_DIR.
# The suite comes with Debian's source package and stays in the target folder: none of it is part of
# this repository. Without UNITs, those of tests/conformance/units are run. Prints passes and failures of each.
set -euo pipefail
cd "$(dirname "$0")/.."

bin_dir=$(cd "$1" && pwd)
shift
list=$PWD/tests/conformance/units
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/conformance"
work=$(cd "$target/conformance" && pwd)

fetch() {
    local apt="$work/apt" file
    mkdir -p "$apt/parts" "$apt/lists/partial" "$work/source"
    # The system's own sources, asked for source packages; nothing of the system is changed.
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -e "$file" ] && grep -q debian-archive "$file" &&
            sed 's/^Types: .*/Types: deb-src/' "$file" >"$apt/parts/$(basename "$file")"
    done
    [ ! -e /etc/apt/sources.list ] ||
        sed -nE 's/^deb(-src)? /deb-src /p' /etc/apt/sources.list | sort -u >"$apt/parts/main.list"
    local options=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$apt/parts"
        -o "Dir::State::lists=$apt/lists" -o "APT::Sandbox::User=root")
    apt-get "${options[@]}" -qq update
    (cd "$work/source" && apt-get "${options[@]}" -qq source --download-only redis)
    tar -xf "$work"/source/redis_*.orig.tar.* -C "$work/source"
}

if ! ls -d "$work"/source/redis-*/tests >/dev/null 2>&1; then
    echo "Fetching the source package of Redis into $work/source"
    fetch
fi
suite=$(ls -d "$work"/source/redis-*/ | tail -1)
command -v tclsh >/dev/null || { echo "tclsh is missing: apt-get install tcl" >&2; exit 1; }

# The suite looks for programs in its src folder.
for name in redis-cli redis-benchmark redis-check-rdb redis-check-aof; do
    ln -sfn "/usr/bin/$name" "$suite/src/$name"
done
# It waits for the process id that Redis's banner shows; a wrapper says it, and becomes the server.
rm -f "$suite/src/redis-server"
printf '#!/bin/sh\necho " PID: $$"\nexec "%s" "$@"\n' "$bin_dir/redis-server" >"$suite/src/redis-server"
chmod +x "$suite/src/redis-server"
ln -sfn redis-server "$suite/src/redis-sentinel"

units=("$@")
if [ ${#units[@]} = 0 ]; then
    mapfile -t units < <(sed -nE 's/^([a-z].*)$/\1/p' "$list")
fi

passed=0 failed=0
mkdir -p "$work/logs"
for unit in "${units[@]}"; do
    # Encodings are those of 7.2, which packs small lists and sets: the suite is that of 7.0.
    log=$work/logs/${unit//\//-}.log
    status=0
    (cd "$suite" && TERM=dumb timeout -k 5 600 tclsh tests/test_helper.tcl --single "$unit" --clients 1 --durable --ignore-encoding \
        --baseport 10000 --portcount 1500 --tags "-slow -needs:repl-diskless" --timeout 120) \
        >"$log" 2>&1 </dev/null || status=$?
    sed -i 's/\x1b\[[0-9;]*m//g' "$log"
    ok=$(grep -ac '^\[ok\]' "$log" || true)
    bad=$(grep -aicE '^\[(err|exception|timeout)\]' "$log" || true)
    # A unit that stops half-way has at least one failure, whatever it printed.
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    printf '%-34s %4d passed %4d failed%s\n' "$unit" "$ok" "$bad" \
        "$([ "$bad" = 0 ] || echo "  ($log)")"
    passed=$((passed + ok)) failed=$((failed + bad))
done
echo
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
