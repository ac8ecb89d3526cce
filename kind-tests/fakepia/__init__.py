"""A stand-in for Private Internet Access: its protocol, its servers and an Internet behind them.

It speaks PIA's protocol over real HTTPS and real WireGuard, tells who reached its Internet by
another way than a tunnel, and can be told to fail. Run it with ``python -m fakepia``.
"""
