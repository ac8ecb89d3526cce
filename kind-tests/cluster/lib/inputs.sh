# What a build depends on, as a short hash: the same inputs are never built twice.
# shellcheck shell=bash

# The first 12 hex digits of a SHA-256 over the names and contents of all files under PATHS
# (relative to FOLDER). Byte code that Python leaves beside its sources is no input.
hash_of() { # FOLDER PATH...
  local folder="$1"
  shift
  (cd "$folder" && find "$@" -type f -not -path '*/__pycache__/*' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
}
