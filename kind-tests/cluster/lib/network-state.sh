# What a container engine does to the machine's own network, written down before it starts and
# put back when it is removed: the bridge docker0, chains and the FORWARD policy, a few sysctls.
# shellcheck shell=bash

NETWORK_BEFORE="$STATE/engine/network-before"

ENGINE_SYSCTLS=(
  net.ipv4.ip_forward
  net.ipv6.conf.all.forwarding
  net.ipv6.conf.default.forwarding
  net.bridge.bridge-nf-call-iptables
  net.bridge.bridge-nf-call-ip6tables
)

# Only once: after a crash the machine still carries what the former engine did.
remember_network() {
  [[ -e $NETWORK_BEFORE ]] && return
  mkdir -p "$NETWORK_BEFORE"
  local name
  for name in "${ENGINE_SYSCTLS[@]}"; do
    sysctl "$name" 2>/dev/null >>"$NETWORK_BEFORE/sysctls" || true
  done
  ip -brief link | awk '{print $1}' >"$NETWORK_BEFORE/links"
  iptables-save >"$NETWORK_BEFORE/iptables"
  ip6tables-save >"$NETWORK_BEFORE/ip6tables"
}

restore_network() {
  [[ -e $NETWORK_BEFORE ]] || return 0
  grep -qx docker0 "$NETWORK_BEFORE/links" || ip link delete docker0 2>/dev/null || true
  restore_rules iptables ip
  restore_rules ip6tables ip6
  sysctl --quiet --load "$NETWORK_BEFORE/sysctls"
  rm -rf "$NETWORK_BEFORE"
}

# Takes out what mentions the engine's chains and bridges and nothing else: others may have
# changed rules meanwhile.
restore_rules() { # PROGRAM FAMILY
  local table
  "$1-save" | sed -E '/DOCKER|docker0|[io] br-[0-9a-f]{12}/d' |
    sed "s/^:FORWARD DROP/:FORWARD $(forward_policy_before "$1")/" | "$1-restore"
  for table in filter nat; do
    if table_is_new "$1" "$table" && table_is_empty "$1" "$table"; then
      remove_table "$2" "$table"
    fi
  done
}

forward_policy_before() { # PROGRAM
  local policy
  policy=$(sed -n 's/^:FORWARD \([A-Z]*\) .*/\1/p' "$NETWORK_BEFORE/$1" | tail -n 1)
  echo "${policy:-ACCEPT}"
}

table_is_new() { # PROGRAM TABLE
  ! grep -qx "\*$2" "$NETWORK_BEFORE/$1"
}

table_is_empty() { # PROGRAM TABLE
  [[ $("$1-save" -t "$2") != *$'\n-A '* ]]
}

# iptables on nft leaves a table behind; the older kernel interface has nothing to delete.
remove_table() { # FAMILY TABLE
  nft delete table "$1" "$2" 2>/dev/null || true
}
