# Everything the commands of this folder are made of. Source it; it changes nothing by itself.
# shellcheck shell=bash

CLUSTER_FOLDER="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# shellcheck source=kind-tests/cluster/env.sh
source "$CLUSTER_FOLDER/env.sh"
for part in say inputs packages network-state engine go images debian nodes kind-config; do
  # shellcheck source=/dev/null
  source "$CLUSTER_FOLDER/lib/$part.sh"
done
unset part
