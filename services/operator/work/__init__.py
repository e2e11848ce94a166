"""The nodes of Operator's upkeep, in the order of the work. The ways between them are in graph.py."""
