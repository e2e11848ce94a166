"""Manifests on trial: against schemas and rules in seconds (`check`), and on a real API server (`live`)."""
