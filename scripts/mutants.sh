#!/usr/bin/env bash
# mutants.sh K/N: breaks crates/repl and crates/node in every Nth of the ways that cargo-mutants knows, from
# the Kth on, one at a time, and lists those that no test notices. The crates' own tests are asked first, then,
# about what they have let through, two hundred simulated clusters. Lists and logs are left in mutants/ and
# mutants/sim/ of the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."

sample=$1
if ! cargo mutants --version >/dev/null 2>&1; then
    echo "cargo-mutants is missing: cargo install cargo-mutants --locked" >&2
    exit 1
fi
out=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutants
# Its copy of the sources is another one each time; what they depend on is built once.
export CARGO_TARGET_DIR=$out/target CARGO_PROFILE_TEST_DEBUG=0

mutants() { # OUTPUT ARGUMENT...
    mkdir -p "$1"
    # 2 and 3 are what this is for: some were missed, or ran into the timeout.
    cargo mutants -p repl -p node --output "$@" || [[ $? = [23] ]]
}

mutants "$out" --shard "$sample" --sharding round-robin -- --locked --lib --tests

missed=()
while read -r mutant; do
    missed+=(--re "^$(sed 's/[][\.*^$+?(){}|]/\\&/g' <<<"$mutant")\$")
done <"$out/mutants.out/missed.txt"
[ ${#missed[@]} = 0 ] && exit

# The baseline is always that of the broken packages, which have no test of this name.
export SIM_SEEDS=200
mutants "$out/sim" "${missed[@]}" --baseline skip --timeout 120 --test-package tandem-tests \
    -- --locked --test simulation replay
echo "Neither the tests nor the simulation notice:"
# cargo-mutants tries fields of structs whatever was asked for: they may be none of the sample.
grep -Fxf "$out/mutants.out/missed.txt" "$out/sim/mutants.out/missed.txt" || echo "nothing"
