"""`piavpn operator`: turns PiaVpns and VpnServiceContainers into objects and tells how they fare.

One pass: observe → decide → build → apply → report. The middle two are pure.
"""
