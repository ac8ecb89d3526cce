# Debian packages that the machine lacks.
# shellcheck shell=bash

require_root() { # WHAT FOR
  [[ $EUID -eq 0 ]] || die "$1 needs root: run this as root, or install it yourself first"
}

install_packages() { # PACKAGE...
  command -v apt-get >/dev/null || die "$* missing and this is no Debian: install them first"
  require_root "installing $*"
  say "installing Debian packages: $*"
  without_starting_services logged "$STATE/logs/apt.log" apt_install "$@"
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -y -q --no-install-recommends "$@"
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
