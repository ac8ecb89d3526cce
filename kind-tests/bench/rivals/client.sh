# The init container of a pod behind it (its bin/client_init.sh, with a fixed address).
# shellcheck shell=sh

next_hop=$(ip -json -4 route show default dev eth0 | jq -er '.[0].gateway')
ip route add 10.0.0.0/8 via "$next_hop"
ip route del default
if ping -c 1 -W 1000 8.8.8.8; then exit 1; fi
gateway=$(getent ahostsv4 "$GATEWAY_NAME" | cut -d ' ' -f 1 | head -n 1)
ping -c 1 "$gateway"
ip link add vxlan0 type vxlan id 42 dev eth0 dstport 0
bridge fdb append to 00:00:00:00:00:00 dst "$gateway" dev vxlan0
ip link set vxlan0 mtu "$MTU" up
ip address add "$ADDRESS/24" dev vxlan0
ip route add default via 172.16.0.1
ping -c 1 172.16.0.1
