# shellcheck shell=bash
# Sourced by hosts.sh and containers.sh: how they say what they do and count what they have found to be so.

passed=0

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

step() { printf '\n== %s\n' "$*"; }

check() { # TEXT, then a command that has to succeed
    local text=$1
    shift
    "$@" || fail "not so: $text"
    passed=$((passed + 1))
    printf 'ok: %s\n' "$text"
}

wait_for() { # TEXT, then a command that has to succeed within CHECKS_PATIENCE seconds
    local text=$1 end=$((SECONDS + ${CHECKS_PATIENCE:-600}))
    shift
    until "$@" 2>/dev/null; do
        [ $SECONDS -lt $end ] || fail "waited in vain: $text"
        sleep 0.2
    done
    passed=$((passed + 1))
    printf 'ok: %s\n' "$text"
}

# A Debian of its own in the folder, fetched once.
make_debian() { # FOLDER DEBOOTSTRAP-OPTION...
    local folder=$1
    shift
    [ ! -e "$folder/.done" ] || return 0
    echo "fetching a Debian (once): ${folder##*/}"
    rm -rf "$folder"
    mkdir -p "$folder"
    debootstrap --variant=minbase "$@" bookworm "$folder" >"$folder.log" || fail "debootstrap failed, see $folder.log"
    rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
    : >"$folder/.done"
}
