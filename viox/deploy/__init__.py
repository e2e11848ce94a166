"""What runs VioX OS beyond one machine, made from the code: Kubernetes manifests.

`python -m viox.deploy` writes what is generated in `deploy/`, `--check` says which of it is out of date.
"""
