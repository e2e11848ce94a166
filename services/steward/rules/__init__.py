"""Steward's rules beside domain.py. Pure: no I/O, no clock, no framework."""
