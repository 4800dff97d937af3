-- Splits (分账): how a paid order is divided among merchants, line by line, and what comes back. All rows of a split lie in the book of
-- the merchant that was paid; the money moves by transfers between books.

ALTER TABLE transfers DROP CONSTRAINT transfers_purpose;
ALTER TABLE transfers ADD CONSTRAINT transfers_purpose
    CHECK (purpose IN ('COLLECT', 'FEE_SWEEP', 'BETWEEN_BOOKS', 'SPLIT', 'SPLIT_RETURN'));

CREATE TABLE split_orders (
    book_id         uuid NOT NULL,
    order_id        uuid NOT NULL,
    -- the stripe that holds the order's money
    money_book_id   uuid NOT NULL,
    currency        text NOT NULL,
    -- frozen when the order is paid: the rule, and which merchant stands for each of its roles
    rule            jsonb NOT NULL,
    parties         jsonb NOT NULL,
    -- what may be divided: what was paid, less the fee
    base_minor      bigint NOT NULL CONSTRAINT split_orders_base CHECK (base_minor > 0),
    -- how much of it the rule was applied to so far
    rounds_minor    bigint NOT NULL DEFAULT 0,
    rounds          smallint NOT NULL DEFAULT 0 CONSTRAINT split_orders_rounds CHECK (rounds BETWEEN 0 AND 100),
    -- not given to any line and not released
    remainder_minor bigint NOT NULL CONSTRAINT split_orders_remainder CHECK (remainder_minor >= 0),
    -- of the remainder, what became the merchant's own: when it finished, or for a refund
    released_minor  bigint NOT NULL DEFAULT 0 CONSTRAINT split_orders_released CHECK (released_minor >= 0),
    status          text NOT NULL CONSTRAINT split_orders_status
        CHECK (status IN ('PLANNED', 'ACCEPTED', 'EXECUTING', 'PARTIAL', 'SUCCEEDED', 'FINISHED')),
    -- no further round: finished when no line is open
    finishing       boolean NOT NULL DEFAULT false,
    -- finished by itself from then on
    finish_at       timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    PRIMARY KEY (book_id, order_id),
    FOREIGN KEY (book_id, order_id) REFERENCES orders,
    CONSTRAINT split_orders_rounds_minor CHECK (rounds_minor BETWEEN 0 AND base_minor),
    CONSTRAINT split_orders_finished CHECK ((status = 'FINISHED') = (finished_at IS NOT NULL)),
    CONSTRAINT split_orders_nothing_left CHECK (status <> 'FINISHED' OR (remainder_minor = 0 AND finishing))
);

-- Of each payment of the order, what may be divided: a channel divides only its own money.
CREATE TABLE split_slices (
    book_id    uuid NOT NULL,
    order_id   uuid NOT NULL,
    attempt_id uuid NOT NULL,
    base_minor bigint NOT NULL CONSTRAINT split_slices_base CHECK (base_minor > 0),
    PRIMARY KEY (book_id, order_id, attempt_id),
    FOREIGN KEY (book_id, order_id) REFERENCES split_orders
);

CREATE TABLE split_lines (
    book_id         uuid NOT NULL,
    -- also the id of the transfer that pays it
    line_id         uuid NOT NULL,
    order_id        uuid NOT NULL,
    round           smallint NOT NULL,
    attempt_id      uuid NOT NULL,
    -- the line it is paid from; none: from the order's own money
    parent_line_id  uuid,
    role            text NOT NULL,
    receiver_id     uuid NOT NULL,
    amount_minor    bigint NOT NULL CONSTRAINT split_lines_amount CHECK (amount_minor > 0),
    currency        text NOT NULL,
    -- it has lines of its own, which are paid before its receiver has the rest
    passes_on       boolean NOT NULL,
    status          text NOT NULL CONSTRAINT split_lines_status
        CHECK (status IN ('WAIT', 'SENT', 'SUCCEEDED', 'FAILED', 'RETURNING', 'RETURNED')),
    error_code      text,
    succeeded_minor bigint NOT NULL DEFAULT 0,
    -- on its way back, and back
    returning_minor bigint NOT NULL DEFAULT 0 CONSTRAINT split_lines_returning CHECK (returning_minor >= 0),
    returned_minor  bigint NOT NULL DEFAULT 0 CONSTRAINT split_lines_returned CHECK (returned_minor >= 0),
    created_at      timestamptz NOT NULL,
    sent_at         timestamptz,
    -- when its receiver had the money, or it was refused
    resolved_at     timestamptz,
    -- when the receiver of a line that passes on could use what is its own
    kept_at         timestamptz,
    PRIMARY KEY (book_id, line_id),
    FOREIGN KEY (book_id, order_id) REFERENCES split_orders,
    CONSTRAINT split_lines_succeeded CHECK (succeeded_minor IN (0, amount_minor)),
    CONSTRAINT split_lines_back CHECK (returned_minor + returning_minor <= succeeded_minor)
);
CREATE INDEX split_lines_order ON split_lines (book_id, order_id);
-- a receiver looks for its own, whoever paid
CREATE INDEX split_lines_receiver ON split_lines (receiver_id, created_at DESC, line_id DESC);

-- Money asked back from receivers (分账回退), bottom-up.
CREATE TABLE split_returns (
    book_id         uuid NOT NULL,
    return_id       uuid NOT NULL,
    order_id        uuid NOT NULL,
    -- what it is for: a refund, or the return itself where a person asked
    reference_id    uuid NOT NULL,
    amount_minor    bigint NOT NULL CONSTRAINT split_returns_amount CHECK (amount_minor > 0),
    currency        text NOT NULL,
    -- of it, the paying merchant's own part; the receivers give the rest
    own_minor       bigint NOT NULL CONSTRAINT split_returns_own CHECK (own_minor BETWEEN 0 AND amount_minor),
    status          text NOT NULL CONSTRAINT split_returns_status CHECK (status IN ('OPEN', 'DONE')),
    created_at      timestamptz NOT NULL,
    done_at         timestamptz,
    PRIMARY KEY (book_id, return_id),
    FOREIGN KEY (book_id, order_id) REFERENCES split_orders,
    CONSTRAINT split_returns_once UNIQUE (book_id, reference_id),
    CONSTRAINT split_returns_done CHECK ((status = 'DONE') = (done_at IS NOT NULL))
);
CREATE INDEX split_returns_order ON split_returns (book_id, order_id);

CREATE TABLE split_return_lines (
    book_id      uuid NOT NULL,
    -- also the id of the transfer that brings it
    part_id      uuid NOT NULL,
    return_id    uuid NOT NULL,
    line_id      uuid NOT NULL,
    -- with what comes from the lines below it
    amount_minor bigint NOT NULL CONSTRAINT split_return_lines_amount CHECK (amount_minor > 0),
    status       text NOT NULL CONSTRAINT split_return_lines_status CHECK (status IN ('WAIT', 'SENT', 'RETURNED')),
    sent_at      timestamptz,
    PRIMARY KEY (book_id, part_id),
    FOREIGN KEY (book_id, return_id) REFERENCES split_returns,
    FOREIGN KEY (book_id, line_id) REFERENCES split_lines,
    CONSTRAINT split_return_lines_once UNIQUE (book_id, return_id, line_id)
);
CREATE INDEX split_return_lines_line ON split_return_lines (book_id, line_id);

GRANT SELECT, INSERT, UPDATE ON split_orders, split_lines, split_returns, split_return_lines TO haodian_app;
GRANT SELECT, INSERT ON split_slices TO haodian_app;
