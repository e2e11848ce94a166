"""Controller's rules, one module for each piece of its work. Pure: no I/O, no clock, no framework."""
