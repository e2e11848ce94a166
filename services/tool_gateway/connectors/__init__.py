"""Tools that are no HTTP operation: e-mail over SMTP, and the business's own records in Postgres."""
