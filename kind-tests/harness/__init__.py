"""What the kind tests share: kubectl, waiting, the nodes, and manifests for their cases."""
