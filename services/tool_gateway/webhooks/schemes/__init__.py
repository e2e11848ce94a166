"""How a webhook proves its sender: one module a scheme, pure functions of bytes, headers, secrets and the time."""
