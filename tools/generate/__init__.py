"""What is rendered from the manifests and CRDs, and from nothing else."""
