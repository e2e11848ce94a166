"""Digests of exact bytes, as the ledger and dead letters store them."""

from __future__ import annotations

import hashlib


def sha256_bytes(raw: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(raw).hexdigest()
