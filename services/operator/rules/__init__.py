"""Operator's rules of upkeep. Pure: no I/O, no clock, no framework."""
