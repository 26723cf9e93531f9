#!/usr/bin/env bash
# Builds the fuzzers and lets each run: first over its whole corpus, then on inputs of its own making.
#
#   run.sh SECONDS [TARGET…]     so long for each target, after its corpus; 0 only replays the corpora
#   run.sh short [TARGET…]       a fixed number of inputs from a fixed seed: the same on every machine, for continuous integration
#   run.sh merge [TARGET…]       writes the seeds anew and adds to each corpus what earlier runs found and it does not reach
#
# The instrumentation is libFuzzer's, by flags that the stable compiler takes, so nothing has to be installed but a C++
# compiler for libFuzzer itself. `cargo fuzz run TARGET` works too. No address sanitizer: the product has no `unsafe`.
set -euo pipefail
cd "$(dirname "$0")"

what=${1:?seconds for each target, or merge}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(frame record segments history bodies door cli)

work=${CARGO_TARGET_DIR:-../target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cforce-frame-pointers"
bins=()
for target in "${targets[@]}"; do bins+=(--bin "$target"); done
[ "$what" != merge ] || bins+=(--bin seeds)

build() {
  RUSTFLAGS="$flags" "${CARGO:-cargo}" build --quiet --release --locked --target "$host" --target-dir "$work" "$@"
}

# A golden log is longer than what libFuzzer would choose, and what is beyond its bound it does not run at all.
bytes_max() {
  case $1 in record | segments) echo 16384 ;; *) echo 4096 ;; esac
}

# How many inputs a short run makes: some four seconds each.
inputs() {
  case $1 in segments | door) echo 3000 ;; record) echo 10000 ;; history) echo 1500 ;; *) echo 250000 ;; esac
}

began=$SECONDS
echo "fuzz: building ${targets[*]}"
build "${bins[@]}"
echo "fuzz: built in $((SECONDS - began)) s"
programs=$work/$host/release

if [ "$what" = merge ]; then
  "$programs/seeds"
  for target in "${targets[@]}"; do
    mkdir -p "$work/found/$target"
    "$programs/$target" -merge=1 -max_len="$(bytes_max "$target")" "corpus/$target" "$work/found/$target" 2>&1 | tail -1
    echo "fuzz: corpus/$target has $(ls "corpus/$target" | wc -l) inputs, $(du -sb "corpus/$target" | cut -f1) bytes"
  done
  exit
fi

failed=()
for target in "${targets[@]}"; do
  found=$work/found/$target
  log=$work/$target.log
  # What earlier runs found stays out of a short one, else no two would be alike.
  if [ "$what" = short ]; then found=$work/short/$target && rm -rf "$found"; fi
  mkdir -p "$found" "artifacts/$target" "corpus/$target"
  options=(-max_len="$(bytes_max "$target")" -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="artifacts/$target/")
  began=$SECONDS
  if case $what in
    0) "$programs/$target" -runs=0 "${options[@]}" "$found" "corpus/$target" ;;
    short) "$programs/$target" -seed=1 -runs="$(inputs "$target")" "${options[@]}" "$found" "corpus/$target" ;;
    # libFuzzer counts its start, in which it runs the corpus, as a part of its time. So that is measured first, and added.
    *) "$programs/$target" -runs=0 "${options[@]}" "$found" "corpus/$target" &&
      "$programs/$target" -max_total_time=$((what + SECONDS - began)) "${options[@]}" "$found" "corpus/$target" ;;
  esac >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    reached=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
    echo "fuzz: $target: $runs runs, ${reached:-cov: ?}, $(ls "corpus/$target" | wc -l) inputs in its corpus, nothing found"
  else
    failed+=("$target")
    grep -v '^#' "$log" | tail -n 60
    echo "fuzz: $target FAILED; the whole story is in $log, and this does it again:"
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
    echo "  $programs/$target fuzz/${input:-…}"
  fi
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: failed: ${failed[*]}"; exit 1; }
