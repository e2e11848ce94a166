"""The bus: topics and event types, the CloudEvents envelope, the consumer and the transactional outbox."""
