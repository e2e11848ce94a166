"""From arguments to bytes on a socket: encoding, credentials, where a request may go, and whether it left."""
