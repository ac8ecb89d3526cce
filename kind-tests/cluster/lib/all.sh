# Everything the commands of this folder are made of. Source it; it changes nothing by itself but
# how the shell that sources it treats failures, and where that looks for programs.
# shellcheck shell=bash

# Without it a failure inside of $(function) would be passed over.
shopt -s inherit_errexit

CLUSTER_FOLDER="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# shellcheck source=kind-tests/cluster/env.sh
source "$CLUSTER_FOLDER/env.sh"
# A root shell that came from `su` has no PATH to what only root runs.
case ":$PATH:" in
*":/usr/sbin:"*) ;;
*) PATH="$PATH:/usr/sbin:/sbin" ;;
esac
for part in say inputs packages python network-state engine go images debian nodes kind-config; do
  # shellcheck source=/dev/null
  source "$CLUSTER_FOLDER/lib/$part.sh"
done
unset part
