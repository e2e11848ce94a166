"""Closer: works a lead from first contact on, and carries the conversation on when the lead answers."""
