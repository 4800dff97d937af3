-- Refunds that wait for what receivers give back, refunds that go another way than the payment came, and who is paid then.

ALTER TABLE refunds DROP CONSTRAINT refunds_status;
ALTER TABLE refunds
    ADD CONSTRAINT refunds_status CHECK (status IN
        ('GATHERING', 'FUNDED', 'SENT', 'UNKNOWN', 'CONFLICTED', 'REROUTE', 'BOUNCED', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    -- whether its money was taken from the merchant: not while receivers of a divided order have theirs to give back
    ADD COLUMN funded boolean NOT NULL DEFAULT true,
    -- when it was taken, where that was later than the request
    ADD COLUMN funded_at timestamptz,
    -- the way of its latest try
    ADD COLUMN route text NOT NULL DEFAULT 'ORIGINAL' CONSTRAINT refunds_route CHECK (route IN ('ORIGINAL', 'PAYOUT')),
    -- why it must go to a bank account
    ADD COLUMN rerouted_for text
        CONSTRAINT refunds_rerouted_for CHECK (rerouted_for IN ('WINDOW_OVER', 'CLOSED', 'PAYOUT_FAILED', 'BOUNCED')),
    ADD CONSTRAINT refunds_unfunded CHECK (funded OR status IN ('GATHERING', 'CANCELLED')),
    ADD CONSTRAINT refunds_gathering CHECK (status <> 'GATHERING' OR NOT funded);

-- Whom a refund is paid to that cannot go back the way it came: proposed by one person, approved by another.
CREATE TABLE refund_payees (
    book_id      uuid NOT NULL,
    payee_id     uuid NOT NULL,
    refund_id    uuid NOT NULL,
    -- name and account, sealed for this row
    sealed       bytea NOT NULL,
    -- what people are shown of them
    holder_mask  text NOT NULL,
    account_tail text NOT NULL,
    proposed_by  uuid NOT NULL,
    proposed_at  timestamptz NOT NULL,
    approved_by  uuid,
    approved_at  timestamptz,
    PRIMARY KEY (book_id, payee_id),
    FOREIGN KEY (book_id, refund_id) REFERENCES refunds,
    CONSTRAINT refund_payees_two_people CHECK (approved_by <> proposed_by),
    CONSTRAINT refund_payees_approved CHECK ((approved_by IS NULL) = (approved_at IS NULL))
);
CREATE INDEX refund_payees_refund ON refund_payees (book_id, refund_id);

-- The tries of a refund, each with the number the outside knows it by. At most one is under way.
CREATE TABLE refund_routes (
    book_id         uuid NOT NULL,
    -- the number given to the channel or the bank; that of the original way is the refund's own
    route_id        uuid NOT NULL,
    refund_id       uuid NOT NULL,
    try_no          smallint NOT NULL CONSTRAINT refund_routes_try CHECK (try_no >= 1),
    kind            text NOT NULL CONSTRAINT refund_routes_kind CHECK (kind IN ('ORIGINAL', 'PAYOUT')),
    -- why this way; none: it is how the payment came
    reason          text CONSTRAINT refund_routes_reason CHECK (reason IN ('WINDOW_OVER', 'CLOSED', 'PAYOUT_FAILED', 'BOUNCED')),
    channel         text NOT NULL,
    payee_id        uuid,
    status          text NOT NULL CONSTRAINT refund_routes_status CHECK (status IN ('LIVE', 'SUCCEEDED', 'FAILED', 'BOUNCED')),
    error_code      text,
    bank_reference  text,
    -- what the outside said it gave back, where that is not what we asked for
    stated_minor    bigint,
    stated_currency text,
    created_at      timestamptz NOT NULL,
    resolved_at     timestamptz,
    PRIMARY KEY (book_id, route_id),
    FOREIGN KEY (book_id, refund_id) REFERENCES refunds,
    FOREIGN KEY (book_id, payee_id) REFERENCES refund_payees,
    CONSTRAINT refund_routes_once UNIQUE (book_id, refund_id, try_no),
    CONSTRAINT refund_routes_payee CHECK ((kind = 'PAYOUT') = (payee_id IS NOT NULL)),
    CONSTRAINT refund_routes_own_number CHECK (kind = 'PAYOUT' OR route_id = refund_id),
    CONSTRAINT refund_routes_resolved CHECK ((status = 'LIVE') = (resolved_at IS NULL))
);
CREATE UNIQUE INDEX refund_routes_live ON refund_routes (book_id, refund_id) WHERE status = 'LIVE';

-- the refunds that were sent before there was a choice
INSERT INTO refund_routes (book_id, route_id, refund_id, try_no, kind, channel, status, error_code, created_at, resolved_at)
SELECT r.book_id, r.refund_id, r.refund_id, 1, 'ORIGINAL', a.channel,
       CASE WHEN r.status IN ('SUCCEEDED', 'FAILED') THEN r.status ELSE 'LIVE' END, r.error_code, r.sent_at,
       CASE WHEN r.status IN ('SUCCEEDED', 'FAILED') THEN COALESCE(r.resolved_at, r.sent_at) END
FROM refunds r
JOIN payment_attempts a ON a.book_id = r.book_id AND a.attempt_id = r.attempt_id
WHERE r.sent_at IS NOT NULL;

ALTER TABLE request_numbers DROP CONSTRAINT request_numbers_kind;
ALTER TABLE request_numbers
    ADD CONSTRAINT request_numbers_kind CHECK (kind IN ('PAYMENT', 'REFUND', 'REFUND_PAYOUT', 'WITHDRAWAL'));

GRANT SELECT, INSERT, UPDATE ON refund_payees, refund_routes TO haodian_app;
