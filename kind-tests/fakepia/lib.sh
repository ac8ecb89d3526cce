# What `up` and `down` have in common. Source it after cluster/lib/all.sh.
# shellcheck shell=bash

# shellcheck disable=SC2034 # used by those who source it
FAKEPIA_STATE="$CLUSTER_STATE/fakepia"
FAKEPIA_CONTAINER="$PIAVPN_CLUSTER-fakepia"

# The stand-in's Internet, and addresses that the real one does not route either: what a test
# sends there by mistake ends at the stand-in. Not 192.0.2.0/24, which machines do use.
# shellcheck disable=SC2034
FAKEPIA_NETWORKS=(198.18.0.0/15 198.51.100.0/24 203.0.113.0/24)

# Its address on the network of the nodes; empty where it does not run.
fakepia_address() {
  docker inspect --format '{{.NetworkSettings.Networks.kind.IPAddress}}' "$FAKEPIA_CONTAINER" \
    2>/dev/null || true
}

on_every_node() { # COMMAND...
  local node nodes
  nodes=$(node_containers)
  for node in $nodes; do
    docker exec "$node" "$@"
  done
}
