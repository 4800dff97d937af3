-- Splits that a channel carries out: payments whose money it keeps frozen, our requests to it with what became of each share, the
-- receivers' accounts there, and the buckets that hold our requests to its pace. And splits of held orders, which grow with each release.

ALTER TABLE payment_attempts
    -- set: the money stays frozen at the channel until it is divided. Most of it that the channel gives to receivers, and for how many days
    ADD COLUMN divisible_minor bigint CONSTRAINT payment_attempts_divisible CHECK (divisible_minor BETWEEN 0 AND amount_minor),
    ADD COLUMN frozen_days integer CONSTRAINT payment_attempts_frozen_days CHECK (frozen_days > 0),
    ADD CONSTRAINT payment_attempts_frozen CHECK ((divisible_minor IS NULL) = (frozen_days IS NULL));

ALTER TABLE split_orders DROP CONSTRAINT split_orders_rounds;
ALTER TABLE split_orders ADD CONSTRAINT split_orders_rounds CHECK (rounds BETWEEN 0 AND 10000);

ALTER TABLE split_slices
    -- the channel that keeps this money frozen and divides it; none: the ledger alone
    ADD COLUMN channel         text,
    ADD COLUMN transaction_id  text,
    ADD COLUMN divisible_minor bigint,
    ADD CONSTRAINT split_slices_channel CHECK
        ((channel IS NULL) = (transaction_id IS NULL) AND (channel IS NULL) = (divisible_minor IS NULL));
-- a held order adds to it what it releases
GRANT UPDATE (base_minor) ON split_slices TO haodian_app;

ALTER TABLE split_lines
    -- the request that carries it to the channel; none: the ledger alone moves it
    ADD COLUMN call_id uuid;
ALTER TABLE split_lines DROP CONSTRAINT split_lines_status;
ALTER TABLE split_lines ADD CONSTRAINT split_lines_status
    CHECK (status IN ('WAIT', 'SENT', 'ACCEPTED', 'SUCCEEDED', 'FAILED', 'RETURNING', 'RETURNED'));

-- What a channel was asked for, stored before it is asked.
CREATE TABLE split_calls (
    book_id        uuid NOT NULL,
    -- without dashes, the number that the channel knows it by
    call_id        uuid NOT NULL,
    order_id       uuid NOT NULL,
    attempt_id     uuid NOT NULL,
    channel        text NOT NULL,
    transaction_id text NOT NULL,
    kind           text NOT NULL CONSTRAINT split_calls_kind CHECK (kind IN ('DIVIDE', 'FINISH', 'RETURN')),
    -- the part of a return that it brings back
    part_id        uuid,
    status         text NOT NULL CONSTRAINT split_calls_status CHECK (status IN ('SENT', 'ACCEPTED', 'DONE', 'FAILED')),
    error_code     text,
    sent_at        timestamptz NOT NULL,
    resolved_at    timestamptz,
    PRIMARY KEY (book_id, call_id),
    FOREIGN KEY (book_id, order_id, attempt_id) REFERENCES split_slices,
    CONSTRAINT split_calls_part CHECK ((kind = 'RETURN') = (part_id IS NOT NULL)),
    CONSTRAINT split_calls_resolved CHECK ((status IN ('DONE', 'FAILED')) = (resolved_at IS NOT NULL))
);
CREATE INDEX split_calls_order ON split_calls (book_id, order_id);

-- The shares of a request, with the channel's word on each.
CREATE TABLE split_shares (
    book_id      uuid NOT NULL,
    call_id      uuid NOT NULL,
    line_id      uuid NOT NULL,
    -- the receiver's, at the channel, when it was asked
    account      text NOT NULL,
    amount_minor bigint NOT NULL CONSTRAINT split_shares_amount CHECK (amount_minor > 0),
    outcome      text CONSTRAINT split_shares_outcome CHECK (outcome IN ('SUCCEEDED', 'FAILED')),
    error_code   text,
    PRIMARY KEY (book_id, call_id, line_id),
    FOREIGN KEY (book_id, call_id) REFERENCES split_calls,
    FOREIGN KEY (book_id, line_id) REFERENCES split_lines
);

-- Where a merchant is paid at a channel (分账接收方).
CREATE TABLE split_accounts (
    book_id    uuid NOT NULL REFERENCES books,
    channel    text NOT NULL,
    account    text NOT NULL CONSTRAINT split_accounts_account CHECK (char_length(account) BETWEEN 1 AND 64),
    -- WAIT: the channel has not been told of it
    status     text NOT NULL CONSTRAINT split_accounts_status CHECK (status IN ('WAIT', 'ADDED', 'REFUSED')),
    error_code text,
    set_at     timestamptz NOT NULL,
    told_at    timestamptz,
    PRIMARY KEY (book_id, channel),
    CONSTRAINT split_accounts_told CHECK ((status = 'WAIT') = (told_at IS NULL))
);

-- The pace of requests to a channel under one of our numbers there, one bucket for all processes.
CREATE TABLE split_buckets (
    channel  text NOT NULL,
    payee_no text NOT NULL,
    -- when the bucket is full again
    full_at  timestamptz NOT NULL,
    PRIMARY KEY (channel, payee_no)
);

GRANT SELECT, INSERT, UPDATE ON split_calls, split_shares, split_accounts, split_buckets TO haodian_app;
