# shellcheck shell=sh
# The program of a hook's container: runs a command when there is news for it, and after every
# restart of the app or of this container, until it succeeds. POSIX, for whatever image has an sh.
#
# Arguments: name of the file that the news are in, the app's address, the command.
#
# Its result stands in /dev/termination-log, where the node agent reads it, as one line:
# "told|failing|stopped NEWS FAILURES EXIT-CODE".
set -u

readonly GIVE_UP=78 LONGEST_PAUSE=30 LONGEST_RUN=60
readonly NEWS_FILE="/run/piavpn/$1" MEMORY="/tmp/.piavpn-$1"
export TARGET_IP="$2"
shift 2

look() { cat "$@" 2>/dev/null || :; }

# Not in the foreground: a signal's trap waits for that.
bide() { "$@" & wait $!; }

bounded() {
  if command -v timeout >/dev/null; then
    timeout "$LONGEST_RUN" "$@"
  else
    "$@"
  fi
}

say() {
  echo "piavpn: $1 ${2:-nothing}, after $3 failures, exit code $4"
  echo "$1 $2 $3 $4" >/dev/termination-log 2>/dev/null || :
}

attempt() {
  PORT=$(look /run/piavpn/forwarded-port) EXIT_ADDRESS=$(look /run/piavpn/exit-address) OLD_PORT=
  case $NEWS_FILE in */forwarded-port) OLD_PORT=$(look "$MEMORY") ;; esac
  export PORT EXIT_ADDRESS OLD_PORT
  bide bounded "$@" </dev/null
}

trap 'exit 0' TERM INT
known='' due=no failures=0 pause=0
while :; do
  news=$(look "$NEWS_FILE")
  everything="$news/$(look /run/piavpn-hook/* /run/piavpn-hook-secret/*)"
  if [ "$everything" != "$known" ]; then
    known=$everything due=yes failures=0 pause=0
  fi
  if [ -n "$news" ] && [ "$due" = yes ] && [ "$pause" -le 0 ]; then
    attempt "$@"
    code=$?
    case $code in
      0)
        due=no
        printf '%s' "$news" >"$MEMORY"
        say told "$news" "$failures" 0
        ;;
      "$GIVE_UP")
        due=no failures=$((failures + 1))
        say stopped "$news" "$failures" "$code"
        ;;
      *)
        pause=$((failures < 5 ? 1 << failures : LONGEST_PAUSE)) failures=$((failures + 1))
        say failing "$news" "$failures" "$code"
        ;;
    esac
  fi
  pause=$((pause - 1))
  bide sleep 1
done
