"""Tools that are no HTTP operation of a vendor: e-mail over SMTP, our own records in Postgres, people, drafts of APIs."""
