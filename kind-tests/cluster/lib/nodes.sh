# The cluster as its containers and its API show it.
# shellcheck shell=bash

# An existing cluster that the user pointed us at is the user's to start, stop and fill.
cluster_is_foreign() {
  [[ -n ${PIAVPN_KUBECONFIG:-} ]]
}

# Tests and demo install the operator, and make and delete namespaces: nobody's cluster by mistake.
require_offered_cluster() {
  local context
  command -v kubectl >/dev/null || die "kubectl is missing: install it to use a cluster that exists"
  context=$(kubectl config current-context)
  [[ ",${PIAVPN_TEST_CONTEXTS:-}," == *",$context,"* ]] ||
    die "context '$context' is not in PIAVPN_TEST_CONTEXTS; add it if the tests may use that cluster"
  [[ -n ${PIAVPN_IMAGE:-} ]] ||
    die "PIAVPN_IMAGE must name an image that the cluster can pull; operator/build-image builds one"
}

require_cluster() {
  if ! engine_answers || [[ -z $(node_containers) ]]; then
    die "there is no cluster '$PIAVPN_CLUSTER'; make it with kind-tests/cluster/up"
  fi
}

# Names of all node containers, control plane first.
node_containers() {
  docker ps --all --filter "label=io.x-k8s.kind.cluster=$PIAVPN_CLUSTER" --format '{{.Names}}' | sort
}

cluster_is_healthy() {
  [[ $(docker ps --filter "label=io.x-k8s.kind.cluster=$PIAVPN_CLUSTER" --quiet | wc -l) -eq 2 ]] &&
    nodes_reported_ready_since ""
}

# What the API says of a node that has just started is from before it stopped, until its kubelet
# reports again.
nodes_reported_ready_since() { # TIME, as 2006-01-02T15:04:05Z
  local ready='.status.conditions[?(@.type=="Ready")]'
  kubectl_here get nodes 2>/dev/null --output \
    jsonpath="{range .items[*]}{$ready.status} {$ready.lastHeartbeatTime}{\"\n\"}{end}" |
    awk -v since="$1" '$1 == "True" && $2 >= since {ready++} END {exit ready != 2}'
}

# kubectl against this very cluster, whatever the kubeconfig's current context is.
kubectl_here() {
  local context=()
  cluster_is_foreign || context=(--context "kind-$PIAVPN_CLUSTER")
  kubectl "${context[@]}" --request-timeout 10s "$@"
}
