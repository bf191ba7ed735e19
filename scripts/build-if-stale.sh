#!/usr/bin/env bash
# build-if-stale.sh FROM BINARY...: `make build`, but not when all binaries in FROM are there and newer than
# what they are made of: `sudo make install` then needs no Rust of root's, and leaves none of root's files in
# the target folder. When there is something to build, it is built by who called sudo, not by root.
set -eu
cd "$(dirname "$0")/.."

from=$1
shift

is_current() {
    local binary
    for binary in "$@"; do
        [ -x "$from/$binary" ] || return 1
        [ -z "$(find Cargo.toml Cargo.lock .cargo bins crates -newer "$from/$binary" \
            \( -name '*.rs' -o -name 'Cargo.*' -o -name config.toml \) -not -path '*/tests/*' -print -quit)" ] || return 1
    done
}

if is_current "$@"; then
    echo "nothing to build: $from is up to date"
elif [ "$(id -u)" = 0 ] && [ "${SUDO_USER:-root}" != root ] && command -v runuser >/dev/null; then
    home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
    runuser -u "$SUDO_USER" -- env HOME="$home" PATH="$home/.cargo/bin:$PATH" "${MAKE:-make}" build
else
    "${MAKE:-make}" build
fi
