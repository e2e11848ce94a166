"""The nodes of Builder's graph, in the order of the work. The ways between them are in graph.py."""
