-- Orders, attempts, channel notices, refunds, settlement and withdrawals of a book, and the rollup of its days.

CREATE TABLE orders (
    book_id        uuid NOT NULL REFERENCES books,
    order_id       uuid NOT NULL,
    store_id       uuid NOT NULL,
    subject        text NOT NULL CONSTRAINT orders_subject CHECK (char_length(subject) BETWEEN 1 AND 128),
    amount_minor   bigint NOT NULL CONSTRAINT orders_amount CHECK (amount_minor > 0),
    currency       text NOT NULL,
    -- frozen when the order is made: a later change of rate never reprices it
    fee_bps        integer NOT NULL CONSTRAINT orders_fee CHECK (fee_bps BETWEEN 0 AND 10000),
    status         text NOT NULL CONSTRAINT orders_status CHECK (status IN ('CREATED', 'PAYING', 'PAID', 'CLOSED')),
    refunded_minor bigint NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    paid_at        timestamptz,
    closed_at      timestamptz,
    PRIMARY KEY (book_id, order_id),
    CONSTRAINT orders_refunded CHECK (refunded_minor BETWEEN 0 AND amount_minor),
    CONSTRAINT orders_paid_at CHECK ((status = 'PAID') = (paid_at IS NOT NULL))
);
CREATE INDEX orders_recent ON orders (book_id, created_at DESC, order_id DESC);

CREATE TABLE payment_attempts (
    book_id                uuid NOT NULL,
    attempt_id             uuid NOT NULL,
    order_id               uuid NOT NULL,
    channel                text NOT NULL,
    amount_minor           bigint NOT NULL CONSTRAINT payment_attempts_amount CHECK (amount_minor > 0),
    currency               text NOT NULL,
    status                 text NOT NULL CONSTRAINT payment_attempts_status CHECK (status IN
        ('SENT', 'USER_PENDING', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'CLOSED_AT_CHANNEL', 'CONFLICTED')),
    pay_url                text,
    channel_transaction_id text,
    error_code             text,
    -- a second success of one order, or money after the order was closed: to be given back (P2, P3)
    surplus                boolean NOT NULL DEFAULT false,
    sent_at                timestamptz NOT NULL,
    succeeded_at           timestamptz,
    resolved_at            timestamptz,
    PRIMARY KEY (book_id, attempt_id),
    FOREIGN KEY (book_id, order_id) REFERENCES orders
);
CREATE INDEX payment_attempts_order ON payment_attempts (book_id, order_id);

-- Which book a number that was given to the outside world belongs to: attempts, refunds and withdrawals. Written first.
CREATE TABLE request_numbers (
    request_no text PRIMARY KEY,
    book_id    uuid NOT NULL,
    kind       text NOT NULL CONSTRAINT request_numbers_kind CHECK (kind IN ('PAYMENT', 'REFUND', 'WITHDRAWAL')),
    subject_id uuid NOT NULL
);

-- One channel transaction belongs to one attempt (P4).
CREATE TABLE channel_transactions (
    channel        text NOT NULL,
    transaction_id text NOT NULL,
    book_id        uuid NOT NULL,
    attempt_id     uuid NOT NULL,
    PRIMARY KEY (channel, transaction_id)
);

-- Signed notices as they came, verified on the raw bytes before they are stored, processed from here.
CREATE TABLE notices (
    channel      text NOT NULL,
    notice_id    text NOT NULL,
    body         bytea NOT NULL CONSTRAINT notices_body CHECK (octet_length(body) <= 65536),
    received_at  timestamptz NOT NULL,
    -- how many times the channel sent it
    deliveries   integer NOT NULL DEFAULT 1,
    processed_at timestamptz,
    outcome      text,
    attempts     integer NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, notice_id)
);
CREATE INDEX notices_waiting ON notices (received_at) WHERE processed_at IS NULL;

CREATE TABLE refunds (
    book_id       uuid NOT NULL,
    refund_id     uuid NOT NULL,
    order_id      uuid NOT NULL,
    attempt_id    uuid NOT NULL,
    amount_minor  bigint NOT NULL CONSTRAINT refunds_amount CHECK (amount_minor > 0),
    currency      text NOT NULL,
    -- the part of the fee given back with it
    fee_minor     bigint NOT NULL DEFAULT 0,
    reason        text NOT NULL CONSTRAINT refunds_reason CHECK (char_length(reason) BETWEEN 1 AND 128),
    status        text NOT NULL CONSTRAINT refunds_status CHECK (status IN ('FUNDED', 'SENT', 'UNKNOWN', 'SUCCEEDED', 'FAILED')),
    error_code    text,
    requested_by  uuid,
    created_at    timestamptz NOT NULL,
    sent_at       timestamptz,
    resolved_at   timestamptz,
    PRIMARY KEY (book_id, refund_id),
    FOREIGN KEY (book_id, order_id) REFERENCES orders
);
CREATE INDEX refunds_order ON refunds (book_id, order_id);

-- T+1 release of one book's day from pending to available.
CREATE TABLE settlement_batches (
    book_id        uuid NOT NULL REFERENCES books,
    batch_id       uuid NOT NULL,
    day            date NOT NULL,
    currency       text NOT NULL,
    -- last entry of the pending account that belongs to the day
    cutoff_seq     bigint NOT NULL,
    released_minor bigint NOT NULL CONSTRAINT settlement_batches_released CHECK (released_minor >= 0),
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (book_id, batch_id),
    CONSTRAINT settlement_batches_once UNIQUE (book_id, day, currency)
);

CREATE TABLE withdrawals (
    book_id            uuid NOT NULL REFERENCES books,
    withdrawal_id      uuid NOT NULL,
    amount_minor       bigint NOT NULL CONSTRAINT withdrawals_amount CHECK (amount_minor > 0),
    currency           text NOT NULL,
    status             text NOT NULL CONSTRAINT withdrawals_status CHECK (status IN ('HELD', 'SUBMITTED', 'UNKNOWN', 'SUCCEEDED', 'FAILED')),
    -- shown to people; the full number stays sealed with the merchant
    account_tail       text NOT NULL,
    bank_reference     text,
    error_code         text,
    requested_by       uuid,
    created_at         timestamptz NOT NULL,
    submitted_at       timestamptz,
    resolved_at        timestamptz,
    PRIMARY KEY (book_id, withdrawal_id)
);
CREATE INDEX withdrawals_recent ON withdrawals (book_id, created_at DESC, withdrawal_id DESC);

-- The day of a store, kept in the transaction that posts: exact, with no lag.
CREATE TABLE book_days (
    book_id        uuid NOT NULL REFERENCES books,
    day            date NOT NULL,
    store_id       uuid NOT NULL,
    currency       text NOT NULL,
    paid_minor     bigint NOT NULL DEFAULT 0,
    paid_count     bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    refunded_count bigint NOT NULL DEFAULT 0,
    fee_minor      bigint NOT NULL DEFAULT 0,
    -- payments of the day that were refunded in full on the same day: they do not make a store active
    voided_count   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (book_id, day, store_id, currency)
);
CREATE INDEX book_days_by_day ON book_days (day);

GRANT SELECT, INSERT, UPDATE ON orders, payment_attempts, notices, refunds, withdrawals, book_days TO haodian_app;
GRANT SELECT, INSERT ON request_numbers, channel_transactions, settlement_batches TO haodian_app;
