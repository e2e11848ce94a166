"""Steward: takes customers' tickets, judges their urgency and drafts what to do."""
