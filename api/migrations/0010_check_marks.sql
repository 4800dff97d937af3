-- How far the checker has come, so that the next look reads only what changed since.

CREATE TABLE check_marks (
    singleton  boolean PRIMARY KEY DEFAULT true CONSTRAINT check_marks_one CHECK (singleton),
    mark       xid8 NOT NULL,
    checked_at timestamptz NOT NULL
);

-- The fold of an account's entries up to seq, as the checker itself added them up.
CREATE TABLE checked_accounts (
    book_id    uuid NOT NULL,
    account_id uuid NOT NULL,
    seq        bigint NOT NULL,
    fold_minor bigint NOT NULL,
    PRIMARY KEY (book_id, account_id)
);

GRANT SELECT, INSERT, UPDATE ON check_marks, checked_accounts TO haodian_app;
