"""Chief of Staff: plans the day and briefs the owner."""
