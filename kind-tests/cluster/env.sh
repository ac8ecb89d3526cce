# Where the cluster, its tools and their state are. Sourcing this changes nothing on the machine.
# shellcheck shell=bash

export STATE="${PIAVPN_STATE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pia-vpn-operator}"
export PIAVPN_CLUSTER="${PIAVPN_CLUSTER:-piavpn}"
# What belongs to one cluster; images and programs are shared by all.
export CLUSTER_STATE="$STATE"
[[ $PIAVPN_CLUSTER == piavpn ]] || CLUSTER_STATE="$STATE/clusters/$PIAVPN_CLUSTER"
export KUBECONFIG="${PIAVPN_KUBECONFIG:-$CLUSTER_STATE/kubeconfig}"

# What the machine has comes first; $STATE/bin holds what it lacks.
case ":$PATH:" in
*":$STATE/bin:"*) ;;
*) export PATH="$PATH:$STATE/bin" ;;
esac

# The socket is there only while a container engine of ours runs: see lib/engine.sh.
if [[ -S "$STATE/docker.sock" ]]; then
  export DOCKER_HOST="unix://$STATE/docker.sock"
  # Debian's engine has no BuildKit.
  export DOCKER_BUILDKIT=0
fi
