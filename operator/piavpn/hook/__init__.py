"""`piavpn hook`: tells a torrent client its port, once. The container's loop calls it again."""
