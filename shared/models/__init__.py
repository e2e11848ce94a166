"""Models behind one small port. Adapters are imported only when a role uses them."""
