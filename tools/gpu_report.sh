#!/usr/bin/env bash
# gpu_report.sh [FOLDER]: test and measure everything on a CUDA GPU, and write the results page FOLDER/gpu.md. It takes about an
# hour. It needs an installation with the extra `test`, a CUDA build of torch with Triton, and compute-sanitizer of the CUDA
# toolkit. A step that fails is reported on the page, and the others still run.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:-runs/gpu}" && cd "${1:-runs/gpu}" && pwd)
python=${PYTHON:-python}
failed=0

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "gpu_report.sh: torch finds no CUDA GPU" >&2
  exit 2
fi

# step NAME LOG COMMAND...: run a command, and record whether it passed.
outcomes=()
step() {
  local start=$SECONDS outcome=passed
  printf '=== %s\n' "$1"
  if ! "${@:3}" >"$out/$2" 2>&1; then
    outcome=FAILED failed=1
  fi
  outcomes+=("| $1 | $outcome | $((SECONDS - start)) | $(grep -v '^$' "$out/$2" | tail -n 1 | tr '|' '/') |")
  printf '=== %s: %s\n' "$1" "$outcome"
}

# A few small tests, because the sanitizer makes a kernel 10 to 100 times slower. The last one calls every kernel.
sanitize() {
  command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not on PATH"; return 1; }
  compute-sanitizer --tool "$1" --error-exitcode 1 "$python" -m pytest -q -n 0 --device cuda \
    tests/recops/ops/residual_quantization/test_residual_quantization_ties.py tests/recops/ops/trie/test_trie_batch.py \
    tests/recops/ops/coaction/test_coaction_identities.py tests/recops/ops/recurrent/test_recurrent_parity.py \
    tests/recops/ops/test_cuda_graphs.py
}

"$python" -c 'import json, torch, recops; from recops.benchmarks.cuda.report import environment
print(json.dumps({**environment(torch.device("cuda", 0)), "backends": recops.build_info()["backends"]}, indent=1))' \
  >"$out/environment.json" || exit 1

step "Op tests on the GPU" tests.log "$python" -m pytest -q -n 0 --device cuda tests/recops/ops \
  tests/recops/state
step "Memory errors" memcheck.log sanitize memcheck
step "Races in shared memory" racecheck.log sanitize racecheck
step "Synchronisation" synccheck.log sanitize synccheck
step "Tuning of the launch table" tuning.log "$python" -m recops.benchmarks.cuda.tuning "$out/table.json"
step "Training steps in CUDA graphs" graphs.log "$python" tools/capture_steps.py
step "Benchmarks" bench.log "$python" -c 'from recops_models.cli import main; main()' bench \
  --device cuda --out "$out/bench"

{
  printf '# GPU results\n\n'
  printf 'Written by `tools/gpu_report.sh`.\n\n'
  printf '| step | outcome | time (s) | last line of its log |\n| --- | --- | --- | --- |\n'
  printf '%s\n' "${outcomes[@]}"
  printf '\n## Machine\n\n```json\n'
  cat "$out/environment.json"
  printf '```\n\n## Tuned launch configurations\n\n```\n'
  cat "$out/tuning.log"
  printf '```\n\n## Training steps in CUDA graphs\n\n'
  cat "$out/graphs.log"
  printf '\n## Benchmarks\n\n'
  cat "$out/bench/bench.md" 2>/dev/null || printf 'The benchmarks wrote no results.\n'
} >"$out/gpu.md"
printf '%s\n' "$out/gpu.md"
exit "$failed"
