"""Measurements: what the machine allows, what we need of it. Run with `make bench`; nothing here asserts a time."""
