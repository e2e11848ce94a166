"""The project next to its peers on one broker: what is measured, how, and the table. Their programs run in `.venv-peers`."""
