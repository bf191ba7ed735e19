#!/usr/bin/env bash
# fuzz.sh SECONDS [TARGET...]: runs every fuzz target, or those named, for so long each. With a nightly
# toolchain if there is one, otherwise with the usual one, told to allow what only nightly allows.
set -eu
cd "$(dirname "$0")/../fuzz"

seconds=$1
shift
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2
    exit 1
fi
if RUSTUP_AUTO_INSTALL=0 cargo +nightly --version >/dev/null 2>&1; then
    cargo=(cargo +nightly)
else
    cargo=(env RUSTC_BOOTSTRAP=1 cargo)
fi
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
for target in "${targets[@]}"; do
    echo "== $target, $seconds seconds"
    # What is found goes to artifacts/; what is new goes to a corpus of this machine, not into the repository's.
    mkdir -p "target/corpus/$target"
    seeds=()
    [ -d "corpus/$target" ] && seeds=("corpus/$target")
    "${cargo[@]}" fuzz run "$target" "target/corpus/$target" "${seeds[@]}" -- \
        -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -malloc_limit_mb=512
done
