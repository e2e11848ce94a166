"""Webhooks: who sent this, what happened, and is it stored? `intake` answers the senders."""
