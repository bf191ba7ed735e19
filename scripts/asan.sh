#!/usr/bin/env bash
# asan.sh [ARGUMENT...]: runs the tests of the crates that have `unsafe` code, and of the engine, which uses it most,
# under AddressSanitizer: what reads or writes where it must not, or is never freed, ends them with a report.
# Arguments are handed to `cargo test`. Needs no nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
# Everything is compiled anew with another flag, so that it has a folder of its own.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/asan
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address ${RUSTFLAGS:-}"
# Its frames are several times as large, and payloads a thousand levels deep are read by recursion.
export RUST_MIN_STACK=$((16 << 20))
export ASAN_OPTIONS=detect_stack_use_after_return=1:${ASAN_OPTIONS:-}

cargo test --locked --no-fail-fast --target "$host" -p store -p persist -p engine --lib --tests "$@"
