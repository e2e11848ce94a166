"""Tools over HTTP while the caller waits: `POST /v1/tools/{tool}:invoke`."""
