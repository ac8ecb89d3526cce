"""The node agent: attaches the confined pods of its node to their VPN's bridge and locks them."""
