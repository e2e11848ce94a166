"""What runs VioX OS outside of `viox up`, made from the code: Kubernetes manifests, and files for Docker Compose.

`python -m viox.deploy` writes what is generated in `deploy/`, `--check` says which of it is out of date.
"""
