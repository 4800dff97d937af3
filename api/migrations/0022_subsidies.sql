-- Subsidies (平台补贴): programmes with a budget in the platform's book, the money that two people put in or take back, and each order's part.

-- A programme (补贴计划). Its budget is the account SUBSIDY of the book, by the programme's id; what orders reserve of it are holds there.
CREATE TABLE subsidy_programmes (
    book_id      uuid NOT NULL,
    programme_id uuid NOT NULL,
    -- by which products name it
    code         text NOT NULL CONSTRAINT subsidy_programmes_code CHECK (code ~ '^[A-Z][A-Z0-9_]{0,31}$'),
    name         text NOT NULL,
    currency     text NOT NULL,
    -- what an order gets: this share of it, in basis points, down to the fen, and at most so much
    share_bps    integer NOT NULL CONSTRAINT subsidy_programmes_share CHECK (share_bps BETWEEN 1 AND 10000),
    order_minor_max bigint CONSTRAINT subsidy_programmes_max CHECK (order_minor_max > 0),
    -- orders made from then until before then
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    status       text NOT NULL CONSTRAINT subsidy_programmes_status CHECK (status IN ('ACTIVE', 'ENDED')),
    created_by   uuid NOT NULL,
    created_at   timestamptz NOT NULL,
    ended_by     uuid,
    ended_at     timestamptz,
    PRIMARY KEY (book_id, programme_id),
    CONSTRAINT subsidy_programmes_once UNIQUE (book_id, code),
    CONSTRAINT subsidy_programmes_span CHECK (starts_at < ends_at),
    CONSTRAINT subsidy_programmes_ended CHECK ((status = 'ENDED') = (ended_at IS NOT NULL) AND (ended_at IS NULL) = (ended_by IS NULL))
);

-- Money put into a budget or taken back out of it, as it went through the bank: one person writes it down, another confirms it.
CREATE TABLE subsidy_movements (
    book_id        uuid NOT NULL,
    movement_id    uuid NOT NULL,
    programme_id   uuid NOT NULL,
    kind           text NOT NULL CONSTRAINT subsidy_movements_kind CHECK (kind IN ('FUNDING', 'RETURN')),
    amount_minor   bigint NOT NULL CONSTRAINT subsidy_movements_amount CHECK (amount_minor > 0),
    currency       text NOT NULL,
    bank           text NOT NULL,
    -- the bank's number of the transfer
    bank_reference text NOT NULL,
    status         text NOT NULL CONSTRAINT subsidy_movements_status CHECK (status IN ('PROPOSED', 'POSTED', 'REJECTED')),
    proposed_by    uuid NOT NULL,
    proposed_at    timestamptz NOT NULL,
    decided_by     uuid,
    decided_at     timestamptz,
    PRIMARY KEY (book_id, movement_id),
    FOREIGN KEY (book_id, programme_id) REFERENCES subsidy_programmes,
    CONSTRAINT subsidy_movements_decided CHECK ((status = 'PROPOSED') = (decided_at IS NULL) AND (decided_at IS NULL) = (decided_by IS NULL)),
    CONSTRAINT subsidy_movements_two_people CHECK (status <> 'POSTED' OR decided_by <> proposed_by)
);
CREATE INDEX subsidy_movements_programme ON subsidy_movements (book_id, programme_id, movement_id);
-- a transfer is written down once
CREATE UNIQUE INDEX subsidy_movements_once ON subsidy_movements (book_id, bank, kind, bank_reference) WHERE status <> 'REJECTED';

ALTER TABLE orders
    -- what a programme pays of it. Frozen: the payer pays the rest
    ADD COLUMN programme_id  uuid,
    ADD COLUMN subsidy_minor bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT orders_subsidy CHECK (subsidy_minor >= 0 AND subsidy_minor < amount_minor AND (programme_id IS NULL) = (subsidy_minor = 0));
-- those that reserve some of a budget and that nobody may be paying
CREATE INDEX orders_reserving ON orders (expires_at, order_id) WHERE programme_id IS NOT NULL AND status = 'CREATED';

ALTER TABLE refunds
    -- what of it goes back to the programme and not to the payer. Frozen
    ADD COLUMN subsidy_minor    bigint NOT NULL DEFAULT 0,
    -- whether that went back: once, with the first success, also where what the bank paid comes back afterwards
    ADD COLUMN subsidy_returned boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT refunds_subsidy CHECK (subsidy_minor BETWEEN 0 AND amount_minor),
    ADD CONSTRAINT refunds_subsidy_returned CHECK (subsidy_minor > 0 OR NOT subsidy_returned);

GRANT SELECT, INSERT, UPDATE ON subsidy_programmes, subsidy_movements TO haodian_app;
