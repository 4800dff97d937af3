-- Books, accounts, postings and entries: the double-entry ledger. Every key leads with book_id, so that a posting stays on one shard.
-- Amounts are minor units (分). Signs: a debit (借) is positive, a credit (贷) negative, so every posting sums to zero per currency.

DO $$
BEGIN
    CREATE ROLE haodian_app NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
GRANT haodian_app TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO haodian_app;

CREATE TABLE books (
    book_id    uuid PRIMARY KEY,
    kind       text NOT NULL CONSTRAINT books_kind CHECK (kind IN ('MERCHANT', 'BANK', 'PLATFORM')),
    created_at timestamptz NOT NULL
);

CREATE TABLE accounts (
    book_id       uuid NOT NULL REFERENCES books,
    account_id    uuid NOT NULL,
    kind          text NOT NULL,
    subject       text NOT NULL DEFAULT '',
    currency      text NOT NULL CONSTRAINT accounts_currency CHECK (currency ~ '^[A-Z]{3}$'),
    -- debit positive; a customer liability is therefore zero or negative
    balance_minor bigint NOT NULL DEFAULT 0,
    -- the highest balance allowed; 0 keeps a liability from turning into a claim
    ceiling_minor bigint,
    -- number of the last entry; entries are gapless from 1
    seq           bigint NOT NULL DEFAULT 0 CONSTRAINT accounts_seq CHECK (seq >= 0),
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (book_id, account_id),
    CONSTRAINT accounts_name UNIQUE (book_id, kind, subject, currency),
    CONSTRAINT accounts_ceiling CHECK (ceiling_minor IS NULL OR balance_minor <= ceiling_minor)
) WITH (fillfactor = 70);

CREATE TABLE postings (
    book_id         uuid NOT NULL REFERENCES books,
    posting_id      uuid NOT NULL,
    kind            text NOT NULL,
    -- the business object that caused it; one object causes a posting of a kind once
    reference_id    uuid NOT NULL,
    store_id        uuid,
    -- the open day it was booked on, never earlier than one already closed
    accounting_date date NOT NULL,
    -- the day the daily board counts it for (success time in Asia/Shanghai)
    business_date   date NOT NULL,
    recorded_at     timestamptz NOT NULL,
    PRIMARY KEY (book_id, posting_id),
    CONSTRAINT postings_once UNIQUE (book_id, kind, reference_id)
);
CREATE INDEX postings_by_day ON postings (book_id, business_date);

CREATE TABLE entries (
    book_id             uuid NOT NULL,
    account_id          uuid NOT NULL,
    seq                 bigint NOT NULL CONSTRAINT entries_seq CHECK (seq > 0),
    posting_id          uuid NOT NULL,
    line                smallint NOT NULL,
    amount_minor        bigint NOT NULL CONSTRAINT entries_amount CHECK (amount_minor <> 0),
    balance_after_minor bigint NOT NULL,
    PRIMARY KEY (book_id, account_id, seq),
    CONSTRAINT entries_line UNIQUE (book_id, posting_id, line),
    FOREIGN KEY (book_id, account_id) REFERENCES accounts,
    FOREIGN KEY (book_id, posting_id) REFERENCES postings
);

GRANT SELECT, INSERT ON books, postings, entries TO haodian_app;
GRANT SELECT, INSERT, UPDATE ON accounts TO haodian_app;
