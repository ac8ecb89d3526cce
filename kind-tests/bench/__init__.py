"""How fast it is, how small, and whether anything leaks meanwhile: measured on the kind cluster."""
