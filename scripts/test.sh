#!/usr/bin/env bash
# Tools, format, lints, binaries, all tests, then Redis's own suite against our server. A stage that fails is
# no reason to leave out the next one. The last line is always `N passed, N failed`: tests by the runners'
# counts, and each stage that failed without a failed test, or could not run at all, as one failure.
set -uo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
export CARGO_TARGET_DIR=$target
mkdir -p "$target"
cargo=${CARGO:-cargo}
# What the runners print is read here.
export CARGO_TERM_COLOR=never

passed=0 failed=0
trap 'echo; echo "Interrupted."; echo "$passed passed, $((failed + 1)) failed"; exit 130' INT TERM HUP

stage='' broken=()
step() { stage=$1; printf '\n== %s\n' "$1"; }

# A stage without tests of its own: one failure when it fails.
whole() { # NAME COMMAND...
    step "$1"
    shift
    "$@" || miss "ended with status $?"
}

miss() { # WHY
    broken+=("$stage: $1")
    failed=$((failed + 1))
}

sum() { awk '{ n += $1 } END { print n + 0 }'; }

# Takes over what a runner counted. When it has no result to show, or a bad end and no failed test, the
# stage itself has failed.
count() { # STATUS RESULT PASSED FAILED
    passed=$((passed + ${3:-0})) failed=$((failed + ${4:-0}))
    if [ "$1" != 0 ] && [ "${4:-0}" = 0 ]; then
        miss "ended with status $1 before it could count a failure"
    elif [ -z "$2" ]; then
        miss "no test ran"
    fi
}

# The counts of `cargo test`, whose programs each end with a line of results; one that crashed has none.
count_cargo_test() { # STATUS LOG
    local results bad programs
    results=$(grep '^test result: ' "$2")
    bad=$(sed -nE 's/.* ([0-9]+) failed.*/\1/p' <<<"$results" | sum)
    programs=$(grep -cE '^ +(Running .*\)|Doc-tests .*)$' "$2")
    count "$1" "$results" "$(sed -nE 's/.* ([0-9]+) passed.*/\1/p' <<<"$results" | sum)" \
        "$((bad + programs - $(grep -c . <<<"$results")))"
}

whole "tools" scripts/install-test-deps
whole "format" "$cargo" fmt --all --check

# One profile for all that is built here: what lints, binaries and tests share is built once.
whole "lints" "$cargo" clippy --workspace --all-targets --locked --profile test -- -D warnings

# The whole-process tests run these.
whole "binaries" "$cargo" build --locked --workspace --bins --profile test
export TANDEM_BIN_DIR=$target/debug

log=$target/test.log
status=0
if "$cargo" nextest --version >/dev/null 2>&1; then
    step "tests (cargo nextest)"
    "$cargo" nextest run --workspace --locked --profile ci 2>&1 | tee "$log" || status=$?
    # Summary [  12.345s] 300 tests run: 299 passed (2 slow), 1 failed, 0 skipped
    summary=$(grep -E '^ *Summary \[' "$log" | tail -1)
    count "$status" "$summary" "$(sed -nE 's/.* ([0-9]+) passed.*/\1/p' <<<"$summary")" \
        "$(grep -oE '[0-9]+ (failed|timed out|exec failed)' <<<"$summary" | sum)"
else
    step "tests (cargo test)"
    # Whole-process tests mostly wait: more of them than processors run at once.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-4} \
        "$cargo" test --workspace --locked --lib --bins --tests --no-fail-fast 2>&1 | tee "$log" || status=$?
    count_cargo_test "$status" "$log"
fi

step "documentation tests"
log=$target/doctest.log
status=0
"$cargo" test --workspace --locked --doc --no-fail-fast >"$log" 2>&1 || status=$?
grep -E '^test |^error' "$log"
count_cargo_test "$status" "$log"

conform() { # LOG [VARIABLE=VALUE]
    local total status=0
    env "${@:2}" scripts/conformance.sh "$target/debug" --quick 2>&1 | tee "$1" || status=$?
    # 1234 passed, 0 failed, 56 skipped
    total=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$1" | tail -1)
    count "$status" "$total" "$(sed -nE 's/^([0-9]+) passed.*/\1/p' <<<"$total")" \
        "$(sed -nE 's/.* ([0-9]+) failed.*/\1/p' <<<"$total")"
}

step "conformance (Redis's own Tcl suite)"
conform "$target/conformance.log"

step "conformance over TLS (some of the suite's units)"
conform "$target/conformance-tls.log" CONFORMANCE_TLS=1

echo
[ ${#broken[@]} = 0 ] || printf 'A stage failed: %s.\n' "${broken[@]}"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
