"""Catching up what vendors never delivered, from the lists of what happened that they keep."""
