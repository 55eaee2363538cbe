# shellcheck shell=bash
# Sourced after steps.sh: makes sure that the pinned Rust toolchain is complete.

# The target of canisters.
readonly WASM_TARGET=wasm32-unknown-unknown

# Prints the pinned version of Rust.
pinned_channel() {
  sed -n 's/^channel *= *"\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml"
}

# Installs the pinned toolchain and the canisters' target where they are missing.
ensure_toolchain() {
  command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs"
  if ! command -v rustup >/dev/null; then
    # Nothing can be added to a Rust without rustup (of a distribution, of Nix): see whether it has the target.
    local libraries
    libraries="$(rustc --print target-libdir --target "$WASM_TARGET")"
    [[ -d $libraries ]] || die "rustup is missing and this Rust cannot build for $WASM_TARGET: see https://rustup.rs"
    return
  fi

  local channel
  channel="$(pinned_channel)"
  # Explicit, because rustup installs nothing by itself where RUSTUP_AUTO_INSTALL is 0.
  if ! rustup toolchain list | grep "^$channel-" >/dev/null; then
    say "install Rust $channel"
    rustup toolchain install "$channel" --profile minimal --no-self-update >&2
  fi
  if ! rustup target list --toolchain "$channel" --installed | grep -x "$WASM_TARGET" >/dev/null; then
    say "install the target $WASM_TARGET"
    rustup target add --toolchain "$channel" "$WASM_TARGET" >&2
  fi
}

# Installs those of the given components of the pinned toolchain that are missing. Call ensure_toolchain first.
ensure_components() {
  command -v rustup >/dev/null || return 0
  local channel component
  channel="$(pinned_channel)"
  for component in "$@"; do
    if ! rustup component list --toolchain "$channel" --installed | grep "^$component" >/dev/null; then
      say "install $component"
      rustup component add --toolchain "$channel" "$component" >&2
    fi
  done
}
