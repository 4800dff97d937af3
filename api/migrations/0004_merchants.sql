-- People, merchants, stores, applications with their documents, and the review of what the pipeline would not decide alone.

CREATE TABLE users (
    user_id      uuid PRIMARY KEY,
    -- the login's own name for the person (an openid in production)
    handle       text NOT NULL CONSTRAINT users_handle UNIQUE,
    role         text NOT NULL CONSTRAINT users_role CHECK (role IN ('OWNER', 'AGENT', 'REVIEWER', 'OPERATOR')),
    display_name text NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE TABLE sessions (
    -- SHA-256 of the token; the token itself is never stored
    token_hash bytea PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE TABLE merchants (
    merchant_id               uuid PRIMARY KEY,
    owner_id                  uuid NOT NULL REFERENCES users,
    name                      text NOT NULL CONSTRAINT merchants_name CHECK (char_length(name) BETWEEN 2 AND 64),
    status                    text NOT NULL CONSTRAINT merchants_status CHECK (status IN ('APPLYING', 'SIGNED', 'REFUSED')),
    fee_bps                   integer NOT NULL CONSTRAINT merchants_fee CHECK (fee_bps BETWEEN 0 AND 10000),
    settlement_account_sealed bytea NOT NULL,
    settlement_account_tail   text NOT NULL,
    created_at                timestamptz NOT NULL,
    signed_at                 timestamptz,
    -- an application sent twice does not make two merchants
    CONSTRAINT merchants_owner_name UNIQUE (owner_id, name)
);

CREATE TABLE stores (
    merchant_id uuid NOT NULL REFERENCES merchants,
    store_id    uuid NOT NULL,
    name        text NOT NULL CONSTRAINT stores_name_length CHECK (char_length(name) BETWEEN 2 AND 64),
    address     text NOT NULL CONSTRAINT stores_address CHECK (char_length(address) BETWEEN 4 AND 128),
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, store_id),
    CONSTRAINT stores_name UNIQUE (merchant_id, name)
);
CREATE INDEX stores_by_id ON stores (store_id);

CREATE TABLE applications (
    application_id uuid PRIMARY KEY,
    merchant_id    uuid NOT NULL CONSTRAINT applications_merchant UNIQUE REFERENCES merchants,
    status         text NOT NULL CONSTRAINT applications_status CHECK (status IN ('DRAFT', 'CHECKING', 'IN_REVIEW', 'NEEDS_CORRECTION', 'APPROVED')),
    created_at     timestamptz NOT NULL,
    submitted_at   timestamptz,
    decided_at     timestamptz
);

-- One row per kind of paper of an application. Where it stands; what was handed in is in its versions.
CREATE TABLE documents (
    document_id    uuid PRIMARY KEY,
    application_id uuid NOT NULL REFERENCES applications,
    kind           text NOT NULL CONSTRAINT documents_kind CHECK (kind IN ('id_front', 'deed_new', 'business_licence')),
    status         text NOT NULL CONSTRAINT documents_status CHECK (status IN ('UPLOADED', 'CHECKING', 'IN_REVIEW', 'REUPLOAD', 'REJECTED', 'APPROVED')),
    -- the version that counts
    version        integer NOT NULL,
    -- why it is not approved: [{code, field, message}], without personal data
    reasons        jsonb NOT NULL DEFAULT '[]',
    uploaded_at    timestamptz NOT NULL,
    decided_at     timestamptz,
    CONSTRAINT documents_one_per_kind UNIQUE (application_id, kind)
);

-- What was handed in, append-only: a new upload or corrected claims are a new version, judged anew.
CREATE TABLE document_versions (
    document_id   uuid NOT NULL REFERENCES documents,
    version       integer NOT NULL CONSTRAINT document_versions_version CHECK (version > 0),
    -- the stored, re-encoded and sealed image; versions that differ in claims only share it
    object_key    text NOT NULL,
    -- of the bytes as they were uploaded
    sha256        bytea NOT NULL CONSTRAINT document_versions_sha256 CHECK (octet_length(sha256) = 32),
    -- pixels of the stored image
    width         integer NOT NULL,
    height        integer NOT NULL,
    -- what the merchant typed, sealed: {"field": "value"}
    claims_sealed bytea NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (document_id, version)
);

-- What the pipeline found and decided, append-only, with the models that read it. No findings: a stage failed, and the reasons say so.
CREATE TABLE document_findings (
    document_id       uuid NOT NULL,
    version           integer NOT NULL,
    findings_sealed   bytea,
    verdict           text NOT NULL CONSTRAINT document_findings_verdict CHECK (verdict IN ('approve', 'review', 'reject', 'reupload')),
    reasons           jsonb NOT NULL,
    comparison_sealed bytea NOT NULL,
    models            jsonb NOT NULL,
    took_ms           integer NOT NULL,
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (document_id, version),
    FOREIGN KEY (document_id, version) REFERENCES document_versions
);

CREATE TABLE review_tasks (
    task_id          uuid PRIMARY KEY,
    document_id      uuid NOT NULL,
    document_version integer NOT NULL,
    status           text NOT NULL CONSTRAINT review_tasks_status CHECK (status IN ('OPEN', 'CLAIMED', 'DECIDED', 'SUPERSEDED')),
    reasons          jsonb NOT NULL,
    due_at           timestamptz NOT NULL,
    claimed_by       uuid REFERENCES users,
    lease_until      timestamptz,
    decision         text CONSTRAINT review_tasks_decision CHECK (decision IN ('APPROVE', 'REJECT')),
    reason_code      text,
    note             text CONSTRAINT review_tasks_note CHECK (char_length(note) <= 500),
    decided_by       uuid REFERENCES users,
    created_at       timestamptz NOT NULL,
    decided_at       timestamptz,
    CONSTRAINT review_tasks_once UNIQUE (document_id, document_version),
    FOREIGN KEY (document_id, document_version) REFERENCES document_versions,
    CONSTRAINT review_tasks_claimed CHECK ((status = 'CLAIMED') <= (claimed_by IS NOT NULL AND lease_until IS NOT NULL)),
    CONSTRAINT review_tasks_reason CHECK (decision IS DISTINCT FROM 'REJECT' OR reason_code IS NOT NULL),
    CONSTRAINT review_tasks_decided CHECK ((status = 'DECIDED') = (decision IS NOT NULL AND decided_by IS NOT NULL))
);
CREATE INDEX review_tasks_queue ON review_tasks (due_at, task_id) WHERE status IN ('OPEN', 'CLAIMED');

GRANT SELECT, INSERT ON users, document_versions, document_findings TO haodian_app;
GRANT SELECT, INSERT, UPDATE ON sessions, merchants, stores, applications, documents, review_tasks TO haodian_app;
