#!/usr/bin/env bash
# sim.sh COUNT: runs COUNT simulated clusters of whole nodes, from SIM_SEED (default 0) on, one process a
# processor. A failure prints its seed and the line that replays it. What the runs went through is
# printed at the end, by log line.
set -euo pipefail
cd "$(dirname "$0")/.."

count=$1
first=${SIM_SEED:-0}
parts=$(nproc)
share=$(((count + parts - 1) / parts))
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

cargo test --locked -p tandem-tests --test simulation --no-run
pids=()
for ((part = 0; part < parts; part++)); do
    SIM_SEED=$((first + part * share)) SIM_SEEDS=$share \
        cargo test --locked -p tandem-tests --test simulation -- replay --nocapture >"$logs/$part" 2>&1 &
    pids+=($!)
done
failed=0
for ((part = 0; part < parts; part++)); do
    wait "${pids[part]}" || { failed=1; tail -n 60 "$logs/$part"; }
done
cat "$logs"/* | sed -nE 's/^ +"(.*)": ([0-9]+),$/\2 \1/p' |
    awk '{ n = $1; $1 = ""; sum[$0] += n } END { for (line in sum) printf "%9d %s\n", sum[line], line }' | sort -k2
[ "$failed" = 0 ] && echo "$count seeds from $first on: no failure"
exit "$failed"
