-- Periods: a closed day or month of a book never opens again, and nobody may change what was written then (no UPDATE, no DELETE).

CREATE TABLE day_closes (
    book_id   uuid NOT NULL REFERENCES books,
    day       date NOT NULL,
    -- the day after the last close: idle days are closed together with the next busy one
    from_day  date NOT NULL,
    -- all of them booked on the day itself: the days before it were idle
    postings  bigint NOT NULL CONSTRAINT day_closes_postings CHECK (postings >= 0),
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, day),
    CONSTRAINT day_closes_days CHECK (from_day <= day)
);

-- What an account did on a closed day and where it stood after it. No row: it did nothing.
CREATE TABLE day_balances (
    book_id       uuid NOT NULL,
    day           date NOT NULL,
    account_id    uuid NOT NULL,
    -- the day's entries lie between these two. Around midnight entries of two days may alternate, so others may lie there too
    first_seq     bigint NOT NULL,
    last_seq      bigint NOT NULL,
    -- the cut-off: every entry up to it was booked on this day or before
    cutoff_seq    bigint NOT NULL,
    debits_minor  bigint NOT NULL CONSTRAINT day_balances_debits CHECK (debits_minor >= 0),
    credits_minor bigint NOT NULL CONSTRAINT day_balances_credits CHECK (credits_minor >= 0),
    -- the sum of all entries booked on this day or before
    balance_minor bigint NOT NULL,
    -- what the day's entries span in the two other times (L13): most questions are answered without reading them
    business_from date NOT NULL,
    business_to   date NOT NULL,
    recorded_from timestamptz NOT NULL,
    recorded_to   timestamptz NOT NULL,
    PRIMARY KEY (book_id, account_id, day),
    FOREIGN KEY (book_id, day) REFERENCES day_closes,
    CONSTRAINT day_balances_seqs CHECK (first_seq <= last_seq)
);

CREATE TABLE month_closes (
    book_id    uuid NOT NULL REFERENCES books,
    -- first day of the month
    month      date NOT NULL CONSTRAINT month_closes_month CHECK (EXTRACT(DAY FROM month) = 1),
    -- the month after the last close: idle months are closed together with the next busy one
    from_month date NOT NULL CONSTRAINT month_closes_from CHECK (EXTRACT(DAY FROM from_month) = 1),
    closed_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, month),
    CONSTRAINT month_closes_months CHECK (from_month <= month)
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
