-- What every command shares: idempotency keys, the outbox with its readers' cursors, and jobs claimed by lease.

CREATE TABLE idempotency_keys (
    tenant_id    uuid NOT NULL,
    operation    text NOT NULL,
    key          uuid NOT NULL,
    request_hash bytea NOT NULL CONSTRAINT idempotency_keys_hash CHECK (octet_length(request_hash) = 32),
    entity_id    uuid NOT NULL,
    -- what the caller was told; null while the command waits for an outside answer
    response     jsonb,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, operation, key)
);

CREATE TABLE outbox (
    book_id    uuid NOT NULL,
    event_id   uuid NOT NULL,
    -- readers stop below their snapshot's xmin: a max(id) mark would skip late commits
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind       text NOT NULL,
    subject_id uuid NOT NULL,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, event_id)
);
CREATE INDEX outbox_order ON outbox (xid, event_id);
CREATE INDEX outbox_subject ON outbox (book_id, subject_id);

CREATE TABLE outbox_cursors (
    consumer text PRIMARY KEY,
    xid      xid8 NOT NULL,
    event_id uuid NOT NULL
);

CREATE TABLE jobs (
    job_id      uuid PRIMARY KEY,
    kind        text NOT NULL,
    book_id     uuid NOT NULL,
    subject_id  uuid NOT NULL,
    state       text NOT NULL DEFAULT 'READY' CONSTRAINT jobs_state CHECK (state IN ('READY', 'DONE', 'DEAD')),
    run_at      timestamptz NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    leased_by   text,
    lease_until timestamptz,
    last_error  text,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX jobs_ready ON jobs (run_at) WHERE state = 'READY';
CREATE INDEX jobs_subject ON jobs (subject_id);

-- The day the sandbox plays: development only, moved by an operator. Production has no row.
CREATE TABLE sandbox_clock (
    singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT sandbox_clock_one CHECK (singleton),
    offset_ms bigint NOT NULL
);

-- Who did what to whom. Append-only by grant; no personal data in detail.
CREATE TABLE audit_events (
    event_id   uuid PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor_id   uuid,
    actor_role text NOT NULL,
    action     text NOT NULL,
    subject_id uuid NOT NULL,
    detail     jsonb NOT NULL,
    request_id text
);
CREATE INDEX audit_events_subject ON audit_events (subject_id, at);

GRANT SELECT, INSERT, UPDATE ON idempotency_keys, outbox_cursors, jobs, sandbox_clock TO haodian_app;
GRANT SELECT, INSERT ON outbox, audit_events TO haodian_app;
