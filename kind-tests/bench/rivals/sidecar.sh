# The tunnel in the app's own pod.
# shellcheck shell=sh

tunnel_up
stay
