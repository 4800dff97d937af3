-- Periods: a closed day or month of a book never opens again, and nobody may change what was written then (no UPDATE, no DELETE).

CREATE TABLE day_closes (
    book_id      uuid NOT NULL REFERENCES books,
    day          date NOT NULL,
    -- the day after the last close: idle days are closed together with the next busy one
    from_day     date NOT NULL,
    postings     bigint NOT NULL,
    debits_minor bigint NOT NULL,
    closed_at    timestamptz NOT NULL,
    PRIMARY KEY (book_id, day),
    CONSTRAINT day_closes_days CHECK (from_day <= day)
);

-- Where each account stood when the day was closed, with its cut-off: entries up to seq belong to closed days, later ones do not.
CREATE TABLE day_balances (
    book_id       uuid NOT NULL,
    day           date NOT NULL,
    account_id    uuid NOT NULL,
    seq           bigint NOT NULL,
    balance_minor bigint NOT NULL,
    PRIMARY KEY (book_id, account_id, day),
    FOREIGN KEY (book_id, day) REFERENCES day_closes
);

CREATE TABLE month_closes (
    book_id   uuid NOT NULL REFERENCES books,
    -- first day of the month
    month     date NOT NULL CONSTRAINT month_closes_month CHECK (EXTRACT(DAY FROM month) = 1),
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, month)
);

-- The trial balance (试算平衡) of a closed month: what each account brought forward, moved and carried forward.
CREATE TABLE month_balances (
    book_id       uuid NOT NULL,
    month         date NOT NULL,
    account_id    uuid NOT NULL,
    opening_minor bigint NOT NULL,
    debits_minor  bigint NOT NULL,
    credits_minor bigint NOT NULL,
    closing_minor bigint NOT NULL,
    PRIMARY KEY (book_id, month, account_id),
    FOREIGN KEY (book_id, month) REFERENCES month_closes,
    CONSTRAINT month_balances_move CHECK (closing_minor = opening_minor + debits_minor - credits_minor)
);

GRANT SELECT, INSERT ON day_closes, day_balances, month_closes, month_balances TO haodian_app;
