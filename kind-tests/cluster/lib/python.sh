# Python environments of our own: Debian's python3 comes without pip, and may not install packages.
# shellcheck shell=bash

# The one that fetches and builds wheels.
WHEEL_BUILDER="$STATE/wheel-builder"

# Has pip choose wheels for Debian 12's Python, and not for the machine's.
FOR_DEBIAN=(--only-binary :all: --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none)
for platform in manylinux2014 manylinux_2_17 manylinux_2_28 manylinux_2_34; do
  FOR_DEBIAN+=(--platform "${platform}_$(uname -m)")
done
unset platform

# Runs pip of the environment that fetches and builds wheels.
builders_pip() { # ARGUMENT...
  "$WHEEL_BUILDER/bin/python" -m pip "$@"
}

# Has to come before builders_pip.
make_wheel_builder() {
  one_at_a_time wheel-builder make_environment_once "$WHEEL_BUILDER"
}

make_environment_once() { # FOLDER
  [[ -x $1/bin/pip ]] || make_environment "$1"
}

# Makes a new environment in FOLDER, in place of what is there.
make_environment() { # FOLDER
  can_make_environments || install_packages python3 python3-venv
  logged "$STATE/logs/python-environments.log" python3 -m venv --clear "$1"
}

can_make_environments() {
  python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}
