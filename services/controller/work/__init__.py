"""The nodes of Controller's graph, one module for each piece of work. graph.py says in which order they are gone through."""
