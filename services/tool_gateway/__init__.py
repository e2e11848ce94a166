"""The tool gateway: the only service that reaches the outside world. intake → judge → execute → close."""
