"""Recorded runs as a regression suite: cases, and what becomes of them with another model, prompt or version."""
