"""The command line: everything an operator does, scriptable with --json and exit codes."""
