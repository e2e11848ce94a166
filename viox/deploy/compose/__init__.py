"""The whole system on one machine with Docker Compose, made from what the Kubernetes manifests are made from."""
