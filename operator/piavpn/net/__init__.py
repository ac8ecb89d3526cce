"""Thin wrappers of the kernel's network: each does I/O in the calling thread's namespace."""
