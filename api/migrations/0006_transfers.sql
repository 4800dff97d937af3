-- Between books: two balanced postings through in-transit accounts (在途科目), the second idempotent by the transfer's id.

CREATE TABLE transfers (
    -- the book the money leaves
    book_id      uuid NOT NULL REFERENCES books,
    transfer_id  uuid NOT NULL,
    -- the book it goes to; found by its id, since the row lives with the first leg
    to_book_id   uuid NOT NULL,
    purpose      text NOT NULL CONSTRAINT transfers_purpose CHECK (purpose IN ('COLLECT', 'FEE_SWEEP', 'BETWEEN_BOOKS')),
    from_kind    text NOT NULL,
    to_kind      text NOT NULL,
    -- a fee sweep is negative where a book gave back more fees than it took
    amount_minor bigint NOT NULL CONSTRAINT transfers_amount
        CHECK (amount_minor > 0 OR (amount_minor < 0 AND purpose = 'FEE_SWEEP')),
    currency     text NOT NULL,
    -- the Asia/Shanghai day it is for; both postings carry it
    day          date NOT NULL,
    status       text NOT NULL CONSTRAINT transfers_status CHECK (status IN ('SENT', 'ARRIVED')),
    created_at   timestamptz NOT NULL,
    arrived_at   timestamptz,
    PRIMARY KEY (book_id, transfer_id),
    CONSTRAINT transfers_arrived CHECK ((status = 'ARRIVED') = (arrived_at IS NOT NULL)),
    CONSTRAINT transfers_books CHECK (book_id <> to_book_id)
);
CREATE INDEX transfers_open ON transfers (created_at) WHERE status = 'SENT';
CREATE INDEX transfers_sweeps ON transfers (book_id, day) WHERE purpose = 'FEE_SWEEP';

ALTER TABLE books
    -- on stripe 0: over how many stripes the owner's money is spread. Only grows
    ADD COLUMN stripes smallint NOT NULL DEFAULT 1 CONSTRAINT books_stripes CHECK (stripes BETWEEN 1 AND 16);

-- Frozen when the order is made, like its fee: a retry finds its stripe again, whatever became of their number.
ALTER TABLE orders ADD COLUMN stripe smallint NOT NULL DEFAULT 0 CONSTRAINT orders_stripe CHECK (stripe BETWEEN 0 AND 63);

GRANT UPDATE (stripes) ON books TO haodian_app;
GRANT SELECT, INSERT, UPDATE ON transfers TO haodian_app;
