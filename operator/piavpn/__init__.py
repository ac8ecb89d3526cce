"""Apps on the Internet only through a Private Internet Access WireGuard tunnel."""
