"""The path of a call: intake → judge → execute → close; resume and settle for what waits or is in doubt."""
