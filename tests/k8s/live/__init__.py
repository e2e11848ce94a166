"""Manifests on a real API server: `make k8s-live`.

etcd, the API server, its controllers and the scheduler are real. Nodes are kwok's: pods are scheduled and turn Ready, and run
nothing, so that probes, entry points, volumes and the network itself are not tried here. Strimzi, CloudNativePG, External
Secrets and KEDA do not run either: `operators` makes what they would make of our objects.
"""
