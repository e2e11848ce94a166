"""`python -m viox`."""

from viox.cli import main

main()
