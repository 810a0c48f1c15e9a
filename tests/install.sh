# Sourced by tests/run and tests/no-std: installs what is missing, or says what to do.

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
  { "${root[@]}" apt-get update -qq &&
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; } ||
    give_up "$what_for is missing and could not be installed; by hand: apt-get install $*"
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
