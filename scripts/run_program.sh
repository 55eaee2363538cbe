# shellcheck shell=bash
# Sourced after steps.sh: runs a program of the integration tests on freshly built canisters.

# shellcheck source=scripts/toolchain.sh
source "$ROOT/scripts/toolchain.sh"

# Prints one argument of a program, made absolute when it names a file: the program is started in another folder.
absolute() {
  case $1 in
    -* | /*) printf '%s' "$1" ;;
    *) if [[ -e $1 ]]; then printf '%s/%s' "$PWD" "$1"; else printf '%s' "$1"; fi ;;
  esac
}

# Runs the binary NAME with the remaining arguments; this shell ends with its exit code.
run_program() {
  local name=$1 argument
  shift
  local arguments=()
  for argument in "$@"; do
    arguments+=("$(absolute "$argument")")
  done

  ensure_toolchain
  # Help needs no canisters.
  if [[ " $* " != *" --help "* && " $* " != *" -h "* ]]; then
    say "build the canisters"
    "$ROOT/scripts/build" --quiet >&2
  fi
  say "build the $name"
  cd "$ROOT" || die "cannot enter $ROOT"
  # The test is built along although it is not run: with it the dependencies have the features that scripts/test
  # builds them with, and are compiled once for both.
  cargo build "${SELECTION[@]}" --bins --test it >&2
  exec "${CARGO_TARGET_DIR:-$ROOT/target}/debug/$name" ${arguments[@]+"${arguments[@]}"}
}
