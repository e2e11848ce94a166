"""Stand-ins for the outside world on one machine: broker, Postgres, vendor emulators, model servers, scenarios."""
