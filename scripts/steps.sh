# shellcheck shell=bash
# Sourced by the scripts: where the workspace is, and one way to say what is being done.

ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck disable=SC2034 # the sourcing scripts use it
readonly ROOT

# An official PocketIC server, where one is used, writes nothing between the lines of the tests.
export POCKET_IC_MUTE_SERVER="${POCKET_IC_MUTE_SERVER-1}"

# Where localnet keeps the machine code of canisters from one run to the next.
export LOCALNET_CODE_CACHE="${LOCALNET_CODE_CACHE-${CARGO_TARGET_DIR:-$ROOT/target}/localnet-code}"

# Prints the comment that starts a script, without its marks: a script's --help.
print_help() {
  awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$1"
}

say() {
  printf '==> %s\n' "$*" >&2
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Turns seconds into text: 75 becomes "1 min 15 s".
duration() {
  local seconds=$1
  if ((seconds < 60)); then
    printf '%d s' "$seconds"
  else
    printf '%d min %02d s' "$((seconds / 60))" "$((seconds % 60))"
  fi
}

# The packages that tests, demo, benchmarks and the builder are built from, all with the same selection: cargo unifies the
# features of packages that are selected together, and other features mean compiling dependencies anew. (What tests add to
# the features of a few dependencies is missing where no test is built.)
# shellcheck disable=SC2034 # the sourcing scripts use it
readonly SELECTION=(--locked --workspace)
