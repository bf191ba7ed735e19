#!/usr/bin/env bash
# Format, lints, binaries, all tests, then Redis's own suite against our server. The last line is `N passed, N failed`, from the runner's counts.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
export CARGO_TARGET_DIR=$target
cargo=${CARGO:-cargo}

step() { printf '\n== %s\n' "$*"; }

step "format"
"$cargo" fmt --all --check

# One profile for all that is built here: what lints, binaries and tests share is built once.
step "lints"
"$cargo" clippy --workspace --all-targets --locked --profile test -- -D warnings

# The whole-process tests run these.
step "binaries"
"$cargo" build --locked --workspace --bins --profile test
export TANDEM_BIN_DIR=$target/debug

log=$target/test.log
status=0
if "$cargo" nextest --version >/dev/null 2>&1; then
    step "tests (cargo nextest)"
    "$cargo" nextest run --workspace --locked --profile ci 2>&1 | tee "$log" || status=$?
    # Summary [  12.345s] 300 tests run: 299 passed (2 slow), 1 failed, 0 skipped
    summary=$(grep -E '^ *Summary \[' "$log" | tail -1 || true)
    passed=$(sed -nE 's/.* ([0-9]+) passed.*/\1/p' <<<"$summary")
    # No match is the good case, and not the pipe's failure.
    failed=$({ grep -oE '[0-9]+ (failed|timed out|exec failed)' <<<"$summary" || true; } |
        awk '{ n += $1 } END { print n + 0 }')
else
    step "tests (cargo test)"
    # Whole-process tests mostly wait: more of them than processors run at once.
    "$cargo" test --workspace --locked --lib --bins --tests --no-fail-fast 2>&1 | tee "$log" || status=$?
    passed=$(sed -nE 's/^test result: .* ([0-9]+) passed.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    failed=$(sed -nE 's/^test result: .* ([0-9]+) failed.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
fi

step "documentation tests"
doc_log=$target/doctest.log
"$cargo" test --workspace --locked --doc >"$doc_log" 2>&1 || status=$?
grep -E '^test |^error' "$doc_log" || true
doc_passed=$(sed -nE 's/^test result: .* ([0-9]+) passed.*/\1/p' "$doc_log" | awk '{ n += $1 } END { print n + 0 }')
doc_failed=$(sed -nE 's/^test result: .* ([0-9]+) failed.*/\1/p' "$doc_log" | awk '{ n += $1 } END { print n + 0 }')

step "conformance (Redis's own Tcl suite)"
conformance_log=$target/conformance.log
scripts/conformance.sh "$target/debug" --quick 2>&1 | tee "$conformance_log" || status=$?
# 1234 passed, 0 failed, 56 skipped
total=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$conformance_log" | tail -1 || true)
suite_passed=$(sed -nE 's/^([0-9]+) passed.*/\1/p' <<<"$total")
suite_failed=$(sed -nE 's/.* ([0-9]+) failed.*/\1/p' <<<"$total")

passed=$((${passed:-0} + doc_passed + ${suite_passed:-0}))
failed=$((${failed:-0} + doc_failed + ${suite_failed:-0}))
# A runner that stopped before it could count has failed as well.
if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
    echo "The test runner ended with status $status before it could count a failure."
    failed=1
fi
if [ "$passed" = 0 ]; then
    echo "No test ran."
    status=1
fi
[ "$failed" = 0 ] || status=1

echo
echo "$passed passed, $failed failed"
exit "$status"
