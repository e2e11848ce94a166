"""Retention: conversations that have been still for months leave the database, on record, for archives in a folder."""
