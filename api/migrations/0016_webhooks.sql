-- Webhooks (商户通知): where a merchant wants to be told what happens in its book, the keys we sign with, what is told, and each try.

CREATE TABLE webhook_endpoints (
    book_id       uuid NOT NULL,
    endpoint_id   uuid NOT NULL,
    -- one of the merchant's eight places; none once it is gone, so that two requests at once cannot make a ninth
    slot          smallint CONSTRAINT webhook_endpoints_slots CHECK (slot BETWEEN 0 AND 7),
    url           text NOT NULL CONSTRAINT webhook_endpoints_url CHECK (char_length(url) BETWEEN 8 AND 512),
    -- empty: every kind there is
    kinds         text[] NOT NULL,
    status        text NOT NULL CONSTRAINT webhook_endpoints_status CHECK (status IN ('ACTIVE', 'PAUSED', 'DISABLED')),
    paused_for    text CONSTRAINT webhook_endpoints_paused_for CHECK (paused_for IN ('OWNER', 'FAILING')),
    -- since when no delivery was taken, while one failed
    failing_since timestamptz,
    -- when deliveries of it were last taken up: the one that waited longest comes first
    claimed_at    timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (book_id, endpoint_id),
    CONSTRAINT webhook_endpoints_slot UNIQUE (book_id, slot),
    CONSTRAINT webhook_endpoints_gone CHECK ((status = 'DISABLED') = (slot IS NULL)),
    CONSTRAINT webhook_endpoints_paused CHECK ((status = 'PAUSED') = (paused_for IS NOT NULL))
);
CREATE INDEX webhook_endpoints_turn ON webhook_endpoints (claimed_at) WHERE status = 'ACTIVE';

-- Signing keys (Ed25519). At most two of an endpoint live at once: the older one signs until it ends.
CREATE TABLE webhook_keys (
    book_id     uuid NOT NULL,
    key_id      uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    public_key  bytea NOT NULL CONSTRAINT webhook_keys_public CHECK (octet_length(public_key) = 32),
    -- the private key in the vault's seal; forgotten with its endpoint
    sealed      bytea,
    created_at  timestamptz NOT NULL,
    ends_at     timestamptz,
    PRIMARY KEY (book_id, key_id),
    FOREIGN KEY (book_id, endpoint_id) REFERENCES webhook_endpoints
);
CREATE INDEX webhook_keys_endpoint ON webhook_keys (book_id, endpoint_id, created_at);

-- What one endpoint is told: for an event, once, under an id that follows from the two; for a resend, a row of its own.
CREATE TABLE webhook_deliveries (
    book_id     uuid NOT NULL,
    delivery_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id    uuid NOT NULL,
    kind        text NOT NULL,
    subject_id  uuid NOT NULL,
    -- the bytes that are signed and sent
    body        text NOT NULL CONSTRAINT webhook_deliveries_body CHECK (octet_length(body) <= 65536),
    resend_of   uuid,
    status      text NOT NULL CONSTRAINT webhook_deliveries_status CHECK (status IN ('PENDING', 'DELIVERED', 'DEAD', 'CANCELLED')),
    -- counted before each try
    attempts    integer NOT NULL DEFAULT 0,
    next_at     timestamptz NOT NULL,
    leased_by   text,
    lease_until timestamptz,
    created_at  timestamptz NOT NULL,
    first_at    timestamptz,
    resolved_at timestamptz,
    PRIMARY KEY (book_id, delivery_id),
    FOREIGN KEY (book_id, endpoint_id) REFERENCES webhook_endpoints,
    CONSTRAINT webhook_deliveries_resolved CHECK ((status = 'PENDING') = (resolved_at IS NULL)),
    CONSTRAINT webhook_deliveries_lease CHECK ((leased_by IS NULL) = (lease_until IS NULL))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (book_id, endpoint_id, next_at) WHERE status = 'PENDING';
CREATE INDEX webhook_deliveries_subject ON webhook_deliveries (book_id, endpoint_id, subject_id) WHERE status = 'PENDING';
CREATE INDEX webhook_deliveries_recent ON webhook_deliveries (book_id, created_at DESC, delivery_id DESC);
CREATE INDEX webhook_deliveries_old ON webhook_deliveries (created_at);

-- Each try, written before it is made. One without an outcome was never heard of again: its process died.
CREATE TABLE webhook_attempts (
    book_id     uuid NOT NULL,
    delivery_id uuid NOT NULL,
    attempt     integer NOT NULL,
    -- none: no key could be found or opened
    key_id      uuid,
    started_at  timestamptz NOT NULL,
    outcome     text CONSTRAINT webhook_attempts_outcome CHECK (outcome IN ('TAKEN', 'REFUSED', 'TIMEOUT', 'NO_ANSWER', 'ADDRESS', 'UNUSABLE')),
    status_code integer,
    took_ms     integer,
    -- the first bytes of the answer
    answer      text CONSTRAINT webhook_attempts_answer CHECK (char_length(answer) <= 512),
    PRIMARY KEY (book_id, delivery_id, attempt),
    FOREIGN KEY (book_id, delivery_id) REFERENCES webhook_deliveries
);

GRANT SELECT, INSERT, UPDATE ON webhook_endpoints, webhook_keys TO haodian_app;
-- what is old goes after a while
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries, webhook_attempts TO haodian_app;
