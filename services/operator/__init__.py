"""Operator: sets up a signed client's back office: an Airtable base with its tables, fields, links and records."""
