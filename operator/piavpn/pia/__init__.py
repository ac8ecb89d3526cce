"""PIA's protocol: login, the signed server list, registration at a WireGuard server."""
