"""The agents' runtime: inbox, threads and leases, activations of compiled graphs, the append-only record, replay."""
