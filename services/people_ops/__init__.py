"""People Ops: receives applications and prepares the first screening."""
