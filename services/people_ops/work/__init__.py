"""The nodes of People Ops' graph, in the order of the work. The ways between them are in graph.py."""
