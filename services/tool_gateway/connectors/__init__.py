"""Tools that are no HTTP operation of a vendor: e-mail, our own Postgres, and what agents ask of each other, of the clock
and of people."""
