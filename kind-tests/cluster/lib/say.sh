# Words to the user. Standard output is kept for what a command returns.
# shellcheck shell=bash

say() {
  printf '%s\n' "$*" >&2
}

die() {
  say "error: $*"
  exit 1
}

# Runs a long, chatty command with its output at the end of a log; shows the last of it on failure.
logged() { # LOG COMMAND...
  local log="$1"
  shift
  mkdir -p "$(dirname "$log")"
  printf '== %(%F %T)T %s\n' -1 "$*" >>"$log"
  if ! "$@" >>"$log" 2>&1; then
    tail -n 25 "$log" >&2
    die "'$*' failed; all of its output is in $log"
  fi
}

# Polls until a condition holds; false when it does not within the time.
eventually() { # SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.3
  done
}
