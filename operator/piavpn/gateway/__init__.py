"""`piavpn gateway`: one VPN's tunnel, seen from inside its pod: registration, NAT, routes, DNS."""
