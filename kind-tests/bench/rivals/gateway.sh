# The gateway's pod as pod-gateway makes it (its bin/gateway_init.sh, apart from DHCP and DNS).
# shellcheck shell=sh

tunnel_up
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link add vxlan0 type vxlan id 42 dev eth0 dstport 0
ip address add 172.16.0.1/24 dev vxlan0
ip link set vxlan0 mtu "$MTU" up
iptables -t nat -A POSTROUTING -j MASQUERADE
iptables -A FORWARD -i wg0 -m state --state ESTABLISHED,RELATED -j ACCEPT
iptables -A FORWARD -i wg0 -j REJECT
iptables --policy FORWARD DROP
iptables -I FORWARD -o wg0 -j ACCEPT
stay
