"""Chief of Staff's rules. Pure: no I/O, no clock, no framework."""
