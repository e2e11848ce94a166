"""A business day, one file for each part of it: what happens, and what must come of it. `story` has what they share."""
