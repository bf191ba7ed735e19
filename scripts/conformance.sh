#!/usr/bin/env bash
# conformance.sh BIN_DIR [--quick | --reference] [UNIT...]: runs units of Redis's own Tcl suite against the
# redis-server in BIN_DIR. The suite comes with Debian's source package and stays in the target folder: none of
# it is part of this repository. Without UNITs, those of tests/conformance/units are run (with --quick, all but the
# long ones). Tests that tests/conformance/skipped names are left out; where 7.2 differs from the suite's 7.0, a
# test asserts what tests/conformance/changed says. Both name their reasons. Prints passes, failures and skips of
# each unit, and fails a unit in which fewer pass than Debian's own redis-server reached, which stands in
# tests/conformance/reference: `conformance.sh /usr/bin --reference` makes it, with nothing left out or changed.
# With CONFORMANCE_TLS=1 all that the suite says is encrypted (with --quick: of the units marked "tls"), and what Redis
# reached stands in tests/conformance/reference-tls.
# CONFORMANCE_PORT and CONFORMANCE_PORTS say which ports the suite's servers listen on, and how many those are.
set -euo pipefail
cd "$(dirname "$0")/.."

bin_dir=$(cd "$1" && pwd)
shift
tls=${CONFORMANCE_TLS:-}
choice='$1 ~ /^[a-z]/ { print $1 }'
reference=
case ${1:-} in
--quick)
    choice='$1 ~ /^[a-z]/ && !/ long/ { print $1 }'
    [ -z "$tls" ] || choice='$1 ~ /^[a-z]/ && / tls/ { print $1 }'
    shift
    ;;
--reference)
    reference=1
    shift
    ;;
esac
lists=$PWD/tests/conformance
reached=$lists/reference${tls:+-tls}
changes=$lists/changed
[ -z "$reference" ] || changes=
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
suite=$(cd "$(ls -d "$work"/source/redis-*/ | tail -1)" && pwd -P)

# Without a Tcl of the system's, its packages are unpacked into the target folder: that takes no rights.
if ! command -v tclsh >/dev/null; then
    if [ ! -x "$work/tcl/usr/bin/tclsh8.6" ]; then
        echo "Fetching Tcl into $work/tcl"
        mkdir -p "$work/tcl"
        (cd "$work/tcl" && apt-get -qq download tcl8.6 libtcl8.6)
        for package in "$work"/tcl/*.deb; do dpkg-deb -x "$package" "$work/tcl"; done
    fi
    libraries=$(dirname "$(find "$work/tcl" -name 'libtcl8.6.so*' -print -quit)")
    export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    export TCL_LIBRARY="$work/tcl/usr/share/tcltk/tcl8.6"
    mkdir -p "$work/tcl/bin"
    ln -sfn ../usr/bin/tclsh8.6 "$work/tcl/bin/tclsh"
    export PATH="$work/tcl/bin:$PATH"
fi

# What TLS needs: certificates, made by the suite's own script, and Tcl's side of TLS, which is fetched as Tcl is.
prepare_tls() {
    mkdir -p "$suite/tests/tls"
    # Parameters that only Redis reads: the suite's way of making them takes a minute.
    [ -s "$suite/tests/tls/redis.dh" ] ||
        openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out "$suite/tests/tls/redis.dh"
    [ -e "$suite/tests/tls/redis.crt" ] || (cd "$suite" && bash utils/gen-test-certs.sh) >/dev/null 2>&1
    if ! echo 'exit [catch { package require tls }]' | tclsh; then
        mkdir -p "$work/tcl-tls"
        (cd "$work/tcl-tls" && ls ./*.deb >/dev/null 2>&1 || apt-get -qq -o APT::Sandbox::User=root download tcl-tls)
        for package in "$work"/tcl-tls/*.deb; do dpkg-deb -x "$package" "$work/tcl-tls"; done
        TCLLIBPATH=$(dirname "$(find "$work/tcl-tls" -name pkgIndex.tcl -print -quit)")
        export TCLLIBPATH
    fi
}

# The suite and its servers live in its folder; whoever does so is one of them.
stop_servers() {
    local process cwd
    for process in /proc/[0-9]*; do
        cwd=$(readlink "$process/cwd" 2>/dev/null) || continue
        case $cwd in "$suite" | "$suite"/*) kill -9 "${process#/proc/}" 2>/dev/null || true ;; esac
    done
}
runner=
finish() {
    [ -z "$runner" ] || kill "$runner" 2>/dev/null || true
    stop_servers
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The suite looks for programs in its src folder: ours where there are any, or Debian's.
for name in redis-cli redis-benchmark redis-check-rdb redis-check-aof; do
    [ -x "$bin_dir/$name" ] && tool=$bin_dir/$name || tool=/usr/bin/$name
    ln -sfn "$tool" "$suite/src/$name"
done
ln -sfn "$bin_dir/redis-server" "$suite/src/redis-server"
ln -sfn redis-server "$suite/src/redis-sentinel"

units=("$@")
if [ ${#units[@]} = 0 ]; then
    mapfile -t units < <(awk "$choice" "$lists/units")
fi

# The names below a unit's heading, as the suite wants them: one a line.
skipped_of() {
    [ -n "$reference" ] ||
        awk -v unit="[$1]" '/^\[/ { ours = $0 == unit; next } /^#/ || /^ *$/ { next } ours' "$lists/skipped"
}
varies() { grep -qE "^$1 .*varies" "$lists/units"; }
expected_of() { awk -v unit="$1" '$1 == unit { print $2 }' "$reached"; }

passed=0 failed=0 skipped=0
mkdir -p "$work/logs"
for unit in "${units[@]}"; do
    log=$work/logs/${unit//\//-}.log
    options=()
    if [ -n "$tls" ] || [ "$unit" = unit/tls ]; then
        prepare_tls
        options=(--tls)
    fi
    skipped_of "$unit" >"$work/skipfile"
    status=0
    (cd "$suite" && TERM=dumb exec timeout -k 5 1200 tclsh "$lists/runner.tcl" "$changes" --single "$unit" --clients 1 --durable \
        --baseport "${CONFORMANCE_PORT:-10000}" --portcount "${CONFORMANCE_PORTS:-1500}" --timeout 300 \
        --skipfile "$work/skipfile" "${options[@]}") >"$log" 2>&1 </dev/null &
    runner=$!
    wait "$runner" || status=$?
    runner=
    stop_servers
    sed -i 's/\x1b\[[0-9;]*m//g' "$log"
    ok=$(grep -ac '^\[ok\]' "$log" || true)
    bad=$(grep -aicE '^\[(err|exception|timeout)\]' "$log" || true)
    skip=$(grep -ac '^\[skip\]' "$log" || true)
    if [ -n "$reference" ]; then
        printf '%-42s %d\n' "$unit" "$ok"
        [ "$bad" = 0 ] || printf '# %s: %d failed (%s)\n' "$unit" "$bad" "$log"
        continue
    fi
    why=
    # A unit that stops half-way has at least one failure, whatever it printed.
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1 why="ended with status $status"; fi
    expected=$(expected_of "$unit")
    if [ "$bad" = 0 ] && [ $((ok + skip)) -lt "${expected:-1}" ] && ! varies "$unit"; then
        bad=1 why="Redis passes ${expected:-an unknown number}"
    fi
    if [ "$bad" = 0 ] && [ "$skip" -lt "$(wc -l <"$work/skipfile")" ]; then
        bad=1 why="a name to skip is no test's"
    fi
    printf '%-42s %4d passed %4d failed %4d skipped%s\n' "$unit" "$ok" "$bad" "$skip" \
        "$([ "$bad" = 0 ] || echo "  $why ($log)")"
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
done
[ -z "$reference" ] || exit 0
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
