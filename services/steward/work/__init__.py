"""The nodes of Steward's graph, by what they are about. graph.py says in which order they are gone through."""
