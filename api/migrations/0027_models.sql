-- Versions of the document models, comparisons of two of them, and which one reads papers. A version is a manifest: its id is the manifest's SHA-256.
CREATE TABLE model_versions (
    version_id    text PRIMARY KEY CONSTRAINT model_versions_id CHECK (version_id ~ '^[0-9a-f]{64}$'),
    manifest      text NOT NULL,
    registered_by uuid NOT NULL REFERENCES users,
    registered_at timestamptz NOT NULL
);

-- A regression run: two versions on the same set of labelled pages. Append-only.
CREATE TABLE model_runs (
    run_id       uuid PRIMARY KEY,
    baseline_id  text NOT NULL REFERENCES model_versions,
    candidate_id text NOT NULL REFERENCES model_versions,
    -- of the names and contents of the set
    set_sha256   text NOT NULL CONSTRAINT model_runs_set CHECK (set_sha256 ~ '^[0-9a-f]{64}$'),
    pages        integer NOT NULL CONSTRAINT model_runs_pages CHECK (pages > 0),
    -- the scores of both, as the comparison counted them
    baseline     jsonb NOT NULL,
    candidate    jsonb NOT NULL,
    not_worse    boolean NOT NULL,
    ran_by       uuid NOT NULL REFERENCES users,
    ran_at       timestamptz NOT NULL,
    CONSTRAINT model_runs_two CHECK (baseline_id <> candidate_id)
);

-- Promotions by two people, and rollbacks by one: what went wrong must not wait for a second.
CREATE TABLE model_promotions (
    promotion_id uuid PRIMARY KEY,
    kind         text NOT NULL CONSTRAINT model_promotions_kind CHECK (kind IN ('PROMOTION', 'ROLLBACK')),
    -- what reads papers once it is done; none: what the program was built with
    version_id   text REFERENCES model_versions,
    -- what read them before
    replaces     text REFERENCES model_versions,
    run_id       uuid REFERENCES model_runs,
    status       text NOT NULL CONSTRAINT model_promotions_status CHECK (status IN ('PROPOSED', 'DONE', 'REJECTED')),
    proposed_by  uuid NOT NULL REFERENCES users,
    proposed_at  timestamptz NOT NULL,
    decided_by   uuid REFERENCES users,
    decided_at   timestamptz,
    CONSTRAINT model_promotions_decided CHECK ((status = 'PROPOSED') = (decided_at IS NULL) AND (decided_at IS NULL) = (decided_by IS NULL)),
    CONSTRAINT model_promotions_two_people CHECK (kind = 'ROLLBACK' OR status <> 'DONE' OR decided_by <> proposed_by),
    CONSTRAINT model_promotions_run CHECK ((kind = 'PROMOTION') = (run_id IS NOT NULL))
);
CREATE UNIQUE INDEX model_promotions_pending ON model_promotions (status) WHERE status = 'PROPOSED';

-- One row: the version that reads papers, and the promotion that made it so. None: what the program was built with.
CREATE TABLE model_state (
    state_id     integer PRIMARY KEY CONSTRAINT model_state_one CHECK (state_id = 1),
    version_id   text REFERENCES model_versions,
    promotion_id uuid REFERENCES model_promotions
);
INSERT INTO model_state (state_id) VALUES (1);

GRANT SELECT, INSERT ON model_versions, model_runs TO haodian_app;
GRANT SELECT, INSERT, UPDATE ON model_promotions TO haodian_app;
GRANT SELECT, UPDATE ON model_state TO haodian_app;
