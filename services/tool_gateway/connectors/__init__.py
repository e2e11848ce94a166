"""Tools that are no HTTP operation: e-mail over SMTP, the business's own records in Postgres, and what agents ask of each other,
of the clock and of people."""
