# Programs and Debian packages that the machine lacks.
# shellcheck shell=bash

require_root() { # WHAT FOR
  [[ $EUID -eq 0 ]] || die "$1 needs root: run this as root, or install it yourself first"
}

# Installs what brings the COMMANDs that are missing; the PACKAGE is named where its name differs.
require_programs() { # COMMAND[:PACKAGE]...
  local entry missing=()
  for entry in "$@"; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
  done
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

install_packages() { # PACKAGE...
  command -v apt-get >/dev/null || die "programs are missing, and this is no Debian: first install what brings $*"
  [[ $EUID -eq 0 ]] || die "programs are missing: run this as root, or first: apt-get install $*"
  say "installing Debian packages: $*"
  one_at_a_time packages without_starting_services logged "$STATE/logs/apt.log" apt_install "$@"
}

# An update that fails in part, for one source of several, can still do: the installation tells.
apt_install() { # PACKAGE...
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q || true
  # Neither curl's package nor pip or Go brings the authorities that they ask for.
  [[ -s /etc/ssl/certs/ca-certificates.crt ]] || set -- ca-certificates "$@"
  apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

# Unpacks a Debian package of which programs alone are wanted, and not the service that it brings.
unpack_package() { # PACKAGE FOLDER
  local package="$1" folder="$2"
  [[ ! -d $folder ]] || return 0
  command -v apt-get >/dev/null || die "programs are missing, and this is no Debian: first install what $package brings"
  say "unpacking Debian package $package"
  one_at_a_time packages logged "$STATE/logs/apt.log" apt_unpack "$package" "$folder"
}

# `set -e` is off in what `logged` runs.
apt_unpack() { # PACKAGE FOLDER
  [[ ! -d $2 ]] || return 0
  [[ $EUID -ne 0 ]] || apt-get update -q || true
  rm -rf "$2.new" && mkdir -p "$2.new/archive" &&
    (cd "$2.new/archive" && apt-get download -q "$1") &&
    dpkg-deb --extract "$2.new/archive/"*.deb "$2.new" &&
    rm -r "$2.new/archive" &&
    mv "$2.new" "$2"
}

# Runs COMMAND while no other script runs one under the same NAME.
one_at_a_time() { # NAME COMMAND...
  local lock name="$1"
  shift
  mkdir -p "$STATE"
  exec {lock}>"$STATE/$name.lock"
  flock "$lock"
  "$@"
  exec {lock}>&-
}

# A package that brings a service would start it; policy-rc.d is Debian's way to say no.
without_starting_services() { # COMMAND...
  local policy=/usr/sbin/policy-rc.d
  if [[ -e $policy ]]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  # In a shell of its own, so that the policy goes whichever way the command ends.
  (
    trap 'rm -f "$policy"' EXIT
    "$@"
  )
}
