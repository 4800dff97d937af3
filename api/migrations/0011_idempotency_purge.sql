-- Idempotency keys go once they are old enough (35 days by default, never under 30): the application may delete them, oldest first.

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

GRANT DELETE ON idempotency_keys TO haodian_app;
