-- Review (审核) by more than one pair of eyes: what a task is for, each person's opinion, known items, and which values were shown to whom.

ALTER TABLE review_tasks
    -- LIVE: the pipeline would not decide. AUDIT: it approved, and a sample is looked at again. SEED: the answer is known. Reviewers see no difference
    ADD COLUMN purpose    text NOT NULL DEFAULT 'LIVE' CONSTRAINT review_tasks_purpose CHECK (purpose IN ('LIVE', 'AUDIT', 'SEED')),
    -- HIGH: two people must agree, or a third settles it
    ADD COLUMN risk       text NOT NULL DEFAULT 'NORMAL' CONSTRAINT review_tasks_risk CHECK (risk IN ('NORMAL', 'HIGH')),
    -- how many people have said what they think
    ADD COLUMN opinions   integer NOT NULL DEFAULT 0 CONSTRAINT review_tasks_opinions CHECK (opinions BETWEEN 0 AND 3),
    -- when the present holder took it; renewing does not move it
    ADD COLUMN claimed_at timestamptz;
ALTER TABLE review_tasks DROP CONSTRAINT review_tasks_once;
-- a known item stands beside the page it was made of
CREATE UNIQUE INDEX review_tasks_once ON review_tasks (document_id, document_version) WHERE purpose <> 'SEED';

-- What each person decided, append-only. The one that settled the task stands on the task itself, too.
CREATE TABLE review_opinions (
    task_id     uuid NOT NULL REFERENCES review_tasks,
    round       integer NOT NULL CONSTRAINT review_opinions_round CHECK (round BETWEEN 1 AND 3),
    decision    text NOT NULL CONSTRAINT review_opinions_decision CHECK (decision IN ('APPROVE', 'REJECT')),
    reason_code text,
    note        text CONSTRAINT review_opinions_note CHECK (char_length(note) <= 500),
    decided_by  uuid NOT NULL REFERENCES users,
    decided_at  timestamptz NOT NULL,
    -- from the claim to the decision, in real time; none for decisions of before this was kept
    took_ms     bigint,
    PRIMARY KEY (task_id, round),
    -- a second person is another person
    CONSTRAINT review_opinions_once UNIQUE (task_id, decided_by),
    CONSTRAINT review_opinions_reason CHECK (decision <> 'REJECT' OR reason_code IS NOT NULL)
);
CREATE INDEX review_opinions_by ON review_opinions (decided_by, decided_at);

INSERT INTO review_opinions (task_id, round, decision, reason_code, note, decided_by, decided_at)
SELECT task_id, 1, decision, reason_code, note, decided_by, decided_at FROM review_tasks WHERE status = 'DECIDED';
UPDATE review_tasks SET opinions = 1 WHERE status = 'DECIDED';

-- A known item (已知答案): a page that was approved, beside a claim with one character changed. Its decision touches nobody's papers.
CREATE TABLE review_seeds (
    task_id           uuid PRIMARY KEY REFERENCES review_tasks,
    -- the claims as the reviewer sees them, and how they compare, sealed
    claims_sealed     bytea NOT NULL,
    comparison_sealed bytea NOT NULL,
    field             text NOT NULL,
    answer            text NOT NULL CONSTRAINT review_seeds_answer CHECK (answer IN ('APPROVE', 'REJECT')),
    planted_by        uuid NOT NULL REFERENCES users,
    planted_at        timestamptz NOT NULL
);

-- Values shown whole (揭示): masked until the holder of a task asks for them, each on record.
CREATE TABLE review_reveals (
    task_id     uuid NOT NULL REFERENCES review_tasks,
    user_id     uuid NOT NULL REFERENCES users,
    field       text NOT NULL,
    revealed_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, user_id, field)
);

GRANT SELECT, INSERT ON review_opinions, review_seeds, review_reveals TO haodian_app;
