-- Platform advances (平台垫资): what the platform gives for a refund that its merchant has not, up to a cap that two people set, and how it comes
-- back. And refunds that came back from the bank and are paid by hand (人工退款).

-- The most that a merchant may owe the platform for refunds: one operator proposes it, another approves it. The approved one of the highest number
-- is in force; none: nothing is advanced.
CREATE TABLE advance_caps (
    book_id     uuid NOT NULL,
    cap_id      uuid NOT NULL,
    cap_no      integer NOT NULL,
    cap_minor   bigint NOT NULL CONSTRAINT advance_caps_amount CHECK (cap_minor >= 0),
    currency    text NOT NULL,
    status      text NOT NULL CONSTRAINT advance_caps_status CHECK (status IN ('PROPOSED', 'APPROVED', 'REJECTED')),
    proposed_by uuid NOT NULL,
    proposed_at timestamptz NOT NULL,
    decided_by  uuid,
    decided_at  timestamptz,
    PRIMARY KEY (book_id, cap_id),
    CONSTRAINT advance_caps_once UNIQUE (book_id, cap_no),
    CONSTRAINT advance_caps_decided CHECK ((status = 'PROPOSED') = (decided_at IS NULL) AND (decided_at IS NULL) = (decided_by IS NULL)),
    CONSTRAINT advance_caps_two_people CHECK (status <> 'APPROVED' OR decided_by <> proposed_by)
);
-- one waits at a time, so that numbers stand in the order of approvals
CREATE UNIQUE INDEX advance_caps_open ON advance_caps (book_id) WHERE status = 'PROPOSED';

-- What the platform gave for a refund. The merchant owes what neither came back with the refund nor was taken from what it has.
CREATE TABLE refund_advances (
    book_id         uuid NOT NULL,
    refund_id       uuid NOT NULL,
    -- the stripe whose account MERCHANT_DEBT has it: that of the order's money
    money_book_id   uuid NOT NULL,
    amount_minor    bigint NOT NULL CONSTRAINT refund_advances_amount CHECK (amount_minor > 0),
    currency        text NOT NULL,
    -- the cap in force, and what the merchant owed already
    cap_id          uuid NOT NULL,
    before_minor    bigint NOT NULL CONSTRAINT refund_advances_before CHECK (before_minor >= 0),
    recovered_minor bigint NOT NULL DEFAULT 0 CONSTRAINT refund_advances_recovered CHECK (recovered_minor >= 0),
    -- back with a refund that came to nothing
    returned_minor  bigint NOT NULL DEFAULT 0 CONSTRAINT refund_advances_returned CHECK (returned_minor >= 0),
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (book_id, refund_id),
    FOREIGN KEY (book_id, refund_id) REFERENCES refunds,
    FOREIGN KEY (book_id, cap_id) REFERENCES advance_caps,
    CONSTRAINT refund_advances_owed CHECK (recovered_minor + returned_minor <= amount_minor)
);
CREATE INDEX refund_advances_open ON refund_advances (book_id) WHERE recovered_minor + returned_minor < amount_minor;

-- What was taken of a merchant's available money for an advance, each time.
CREATE TABLE advance_recoveries (
    book_id      uuid NOT NULL,
    recovery_id  uuid NOT NULL,
    refund_id    uuid NOT NULL,
    amount_minor bigint NOT NULL CONSTRAINT advance_recoveries_amount CHECK (amount_minor > 0),
    recovered_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, recovery_id),
    FOREIGN KEY (book_id, refund_id) REFERENCES refund_advances
);
CREATE INDEX advance_recoveries_refund ON advance_recoveries (book_id, refund_id);

-- A refund that came back from the bank (退票), paid outside: one operator says how, another confirms it.
CREATE TABLE refund_manuals (
    book_id     uuid NOT NULL,
    manual_id   uuid NOT NULL,
    refund_id   uuid NOT NULL,
    -- the bank's number of the transfer, or that of the receipt
    reference   text NOT NULL,
    evidence    text NOT NULL,
    -- whose cash it was: the bank that the refund came back to
    bank        text NOT NULL,
    status      text NOT NULL CONSTRAINT refund_manuals_status CHECK (status IN ('PROPOSED', 'APPROVED', 'REJECTED')),
    proposed_by uuid NOT NULL,
    proposed_at timestamptz NOT NULL,
    decided_by  uuid,
    decided_at  timestamptz,
    PRIMARY KEY (book_id, manual_id),
    FOREIGN KEY (book_id, refund_id) REFERENCES refunds,
    CONSTRAINT refund_manuals_decided CHECK ((status = 'PROPOSED') = (decided_at IS NULL) AND (decided_at IS NULL) = (decided_by IS NULL)),
    CONSTRAINT refund_manuals_two_people CHECK (status <> 'APPROVED' OR decided_by <> proposed_by)
);
-- one waits at a time or was approved, and one payment outside closes one refund
CREATE UNIQUE INDEX refund_manuals_open ON refund_manuals (book_id, refund_id) WHERE status <> 'REJECTED';
CREATE UNIQUE INDEX refund_manuals_reference ON refund_manuals (book_id, bank, reference) WHERE status <> 'REJECTED';

ALTER TABLE refunds DROP CONSTRAINT refunds_status;
ALTER TABLE refunds
    ADD CONSTRAINT refunds_status CHECK (status IN
        ('GATHERING', 'FUNDED', 'SENT', 'UNKNOWN', 'CONFLICTED', 'REROUTE', 'BOUNCED', 'MANUAL', 'SUCCEEDED', 'FAILED', 'CANCELLED'));
-- what a merchant must keep for them
CREATE INDEX refunds_gathering_of ON refunds (book_id) WHERE status = 'GATHERING';

GRANT SELECT, INSERT, UPDATE ON advance_caps, refund_advances, refund_manuals TO haodian_app;
GRANT SELECT, INSERT ON advance_recoveries TO haodian_app;
