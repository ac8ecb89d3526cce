# Puts up wg0 at a server of PIA's as its own scripts do (pia-foss/manual-connections), and makes it
# the way out. Sourced by the containers of rivals.py, which say who and where in the environment.
# shellcheck shell=sh

tunnel_up() {
  printf '%s' "$PUBLIC_CA" >/tmp/public.pem
  printf '%s' "$PIA_CA" >/tmp/pia.pem
  private=$(wg genkey)
  token=$(call --cacert /tmp/public.pem --data-urlencode "username=$PIA_USERNAME" \
    --data-urlencode "password=$PIA_PASSWORD" "$TOKEN_URL" | jq -er .token)
  peer=$(call --cacert /tmp/pia.pem --connect-to "$SERVER::$SERVER_ADDRESS:" --get \
    --data-urlencode "pt=$token" --data-urlencode "pubkey=$(echo "$private" | wg pubkey)" \
    "https://$SERVER:1337/addKey")
  ip link add wg0 type wireguard 2>/dev/null || wireguard-go wg0
  echo "$private" | wg set wg0 private-key /dev/stdin peer "$(field server_key)" \
    endpoint "$SERVER_ADDRESS:$(field server_port)" allowed-ips 0.0.0.0/0 persistent-keepalive 25
  ip address add "$(field peer_ip)/32" dev wg0
  ip link set wg0 mtu "$MTU" up
  ip route add "$SERVER_ADDRESS" via "$(next_hop)"
  ip route add 10.0.0.0/8 via "$(next_hop)"
  ip route replace default dev wg0
}

call() {
  curl --silent --show-error --fail --max-time 10 "$@"
}

field() { # NAME
  echo "$peer" | jq -er ".$1"
}

# Of eth0, as the cluster's network gave it.
next_hop() {
  ip -json -4 route show default dev eth0 | jq -er '.[0].gateway'
}

# Until the pod is told to end.
stay() {
  touch /tmp/up
  trap 'exit 0' TERM
  sleep infinity &
  wait
}
