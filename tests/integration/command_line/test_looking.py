"""Commands that look, on real Postgres: what they load, how they name things, ids in short."""

from __future__ import annotations
