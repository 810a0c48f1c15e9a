# Sourced by tests/run and what it calls: what is built, and how what is missing is installed.

# What checks are of. Always all of it at once: with fewer packages some have fewer features, and all that stands on them
# is built again.
# shellcheck disable=SC2034
workspace=(--workspace --exclude eventflux-bindgen)

# cargo for this machine. In `tests/run` the compiler of the workspace is clippy's driver, for all that shares what it built.
native_cargo() {
  env ${EVENTFLUX_LINT:+RUSTC_WORKSPACE_WRAPPER=clippy-driver} cargo "$@"
}

# Builds the command, for tests of several languages: build_command [--example NAME…]. Sets EVENTFLUX_BIN.
build_command() {
  # With a test (a short one), so that dependencies have the features that they have for tests.
  native_cargo build --quiet "${workspace[@]}" --bin eventflux --test budget "$@"
  export EVENTFLUX_BIN
  EVENTFLUX_BIN=$(realpath "${CARGO_TARGET_DIR:-target}")/debug/eventflux
}

give_up() {
  printf 'tests: %s\n' "$*" >&2
  exit 2
}

# Installs packages of the distribution: install_packages WHAT_FOR PACKAGE…
install_packages() {
  local what_for=$1 root=()
  shift
  command -v apt-get >/dev/null || give_up "$what_for is missing and there is no apt-get; install it yourself and run again"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
      give_up "$what_for is missing, and this is neither root nor is there sudo; as root: apt-get install $*"
    root=(sudo)
  fi
  printf 'installing %s for %s\n' "$*" "$what_for"
  # Checks that run beside one another would stumble over each other's locks.
  mkdir -p target
  {
    ! command -v flock >/dev/null || flock 9
    "${root[@]}" apt-get update -qq 9>&- &&
      "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" 9>&- >/dev/null ||
      give_up "$what_for is missing and could not be installed; by hand: apt-get install $*"
  } 9>target/apt.lock
}

# Installs a server that the tests start themselves: install_server WHAT_FOR PACKAGE… The service of the package does
# not start, where this is root.
install_server() {
  local policy=/usr/sbin/policy-rc.d ours="" status=0
  if [ "$(id -u)" = 0 ] && ! [ -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && ours=1
  fi
  (install_packages "$@") || status=$?
  [ -z "$ours" ] || rm -f "$policy"
  [ "$status" = 0 ] || exit "$status"
}

# Installs a part of the Rust toolchain: install_component COMPONENT PACKAGE
install_component() {
  if command -v rustup >/dev/null; then
    printf 'installing the Rust component %s\n' "$1"
    rustup component add "$1" || give_up "the Rust component $1 is missing and could not be added; by hand: rustup component add $1"
  else
    install_packages "$1" "$2"
  fi
}

# Installs Python packages into an environment of their own, target/python: install_python WHAT_FOR MODULE PACKAGE…
install_python() {
  local what_for=$1 module=$2 python=target/python/bin/python
  shift 2
  if [ -x "$python" ] && "$python" -c "import $module" 2>/dev/null; then
    return
  fi
  python3 -c "import ensurepip, venv" 2>/dev/null || install_packages "$what_for" python3 python3-venv
  printf 'installing %s for %s\n' "$*" "$what_for"
  { python3 -m venv --clear target/python &&
    "$python" -m pip install --quiet --disable-pip-version-check "$@"; } ||
    give_up "$what_for is missing and could not be installed; by hand: python3 -m venv target/python && $python -m pip install $*"
}

# Whether the compiler has the libraries of a target.
has_target() {
  [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null || echo /nowhere)" ]
}

# As pick_cargo, but the libraries are built along in any case, so that they can be built in another way.
pick_cargo_from_sources() {
  local target=$1 libraries=$2
  if command -v rustup >/dev/null && timeout 300 rustup component add rust-src >/dev/null 2>&1; then
    cargo=(env RUSTC_BOOTSTRAP=1 cargo)
  else
    install_debian_rust "$target"
  fi
  build_std=("-Zbuild-std=$libraries")
}

install_debian_rust() {
  if ! [ -x /usr/bin/rustc ] || ! [ -x /usr/bin/cargo ] || ! dpkg -s rust-web-src >/dev/null 2>&1; then
    install_packages "a compiler for $1" rustc-web cargo-web rust-web-src
  fi
  cargo=(env -u RUSTUP_TOOLCHAIN RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo)
}

# Picks how to build for a target: pick_cargo TARGET LIBRARIES. Sets the lists `cargo`, the command, and `build_std`,
# what goes behind its arguments: libraries that are to be built along, if they are not there.
pick_cargo() {
  local target=$1 libraries=$2
  cargo=(cargo) build_std=()
  # The first way: the target's libraries from rustup.
  if ! has_target "$target" && command -v rustup >/dev/null; then
    timeout 300 rustup target add "$target" >/dev/null 2>&1 ||
      echo "rustup cannot add $target here; building its libraries from Debian's sources of Rust"
  fi
  if has_target "$target"; then
    return
  fi
  # The second: the distribution's compiler, which has the sources of the libraries.
  install_debian_rust "$target"
  build_std=("-Zbuild-std=$libraries")
}
