-- The ledger engine: ids that follow from names, floors and holds, reversals, two kinds of date, and postings as their own event stream.

-- An id that follows from a name: the first 16 bytes of its SHA-256, as a UUID of version 8. Used by this migration only: the services
-- do the same in memory, so that a posting knows its accounts before it has read anything.
CREATE FUNCTION pg_temp.named_id(name bytea) RETURNS uuid LANGUAGE sql AS $$
    SELECT encode(set_byte(set_byte(h, 6, (get_byte(h, 6) & 15) | 128), 8, (get_byte(h, 8) & 63) | 128), 'hex')::uuid
    FROM (SELECT substr(sha256(name), 1, 16) AS h) AS hashed
$$;

-- The ledger alone writes entries, in one statement with their posting and under the locks of their accounts; the checker proves
-- what these two would. They cost two look-ups for each entry.
ALTER TABLE entries DROP CONSTRAINT entries_book_id_account_id_fkey, DROP CONSTRAINT entries_book_id_posting_id_fkey;
ALTER TABLE postings DROP CONSTRAINT postings_book_id_fkey;

CREATE TEMPORARY TABLE account_ids ON COMMIT DROP AS
    SELECT book_id, account_id AS old_id,
           pg_temp.named_id(uuid_send(book_id) || convert_to(kind || E'\x1f' || subject || E'\x1f' || currency, 'UTF8')) AS new_id
    FROM accounts;
UPDATE accounts a SET account_id = n.new_id FROM account_ids n WHERE a.book_id = n.book_id AND a.account_id = n.old_id;
UPDATE entries e SET account_id = n.new_id FROM account_ids n WHERE e.book_id = n.book_id AND e.account_id = n.old_id;

-- A posting's id keeps the time of what caused it and hashes what it is: its key is what makes it happen once.
CREATE TEMPORARY TABLE posting_ids ON COMMIT DROP AS
    SELECT book_id, posting_id AS old_id,
           encode(set_byte(id, 8, (get_byte(id, 8) & 63) | 128), 'hex')::uuid AS new_id
    FROM (SELECT book_id, posting_id,
                 substr(uuid_send(reference_id), 1, 8) || substr(sha256(convert_to(kind || E'\x1f', 'UTF8') || uuid_send(reference_id)), 1, 8) AS id
          FROM postings) AS derived;
ALTER TABLE postings DROP CONSTRAINT postings_once;
UPDATE postings p SET posting_id = n.new_id FROM posting_ids n WHERE p.book_id = n.book_id AND p.posting_id = n.old_id;
UPDATE entries e SET posting_id = n.new_id FROM posting_ids n WHERE e.book_id = n.book_id AND e.posting_id = n.old_id;

ALTER TABLE books
    -- the merchant, bank or platform whose book it is; a book and its stripes (分条) share it
    ADD COLUMN owner_id   uuid,
    ADD COLUMN stripe     smallint NOT NULL DEFAULT 0 CONSTRAINT books_stripe CHECK (stripe BETWEEN 0 AND 63),
    -- the last day that was closed; what is posted later is booked on a later day (L12)
    ADD COLUMN closed_day date;
UPDATE books SET owner_id = book_id;
ALTER TABLE books ALTER COLUMN owner_id SET NOT NULL;
CREATE INDEX books_by_owner ON books (owner_id, stripe);

ALTER TABLE accounts
    -- 1: a debit raises what the account holds (asset, cost); -1: a credit does (liability, income)
    ADD COLUMN side        smallint NOT NULL DEFAULT 1 CONSTRAINT accounts_side CHECK (side IN (-1, 1)),
    -- promised by holds, not yet posted
    ADD COLUMN held_minor  bigint NOT NULL DEFAULT 0 CONSTRAINT accounts_held CHECK (held_minor >= 0),
    -- what must stay after holds: side * balance - held >= floor. None: no limit. Negative: a credit line
    ADD COLUMN floor_minor bigint,
    -- the book's closed_day, where a posting finds it under the lock that it takes anyway
    ADD COLUMN closed_day  date;
UPDATE accounts SET floor_minor = -ceiling_minor,
                    side = CASE WHEN kind IN ('CHANNEL_RECEIVABLE', 'BANK_CASH') THEN 1 ELSE -1 END;
ALTER TABLE accounts
    ALTER COLUMN side DROP DEFAULT,
    DROP COLUMN ceiling_minor,
    ADD CONSTRAINT accounts_floor CHECK (floor_minor IS NULL OR side * balance_minor - held_minor >= floor_minor);

ALTER TABLE postings
    -- the posting it takes back, wholly or in part (L9); its entries keep the line numbers of the entries they take back
    ADD COLUMN reversal_of uuid,
    -- the hold it uses up (L7)
    ADD COLUMN hold_id     uuid,
    -- and gives up what is left of
    ADD COLUMN hold_last   boolean NOT NULL DEFAULT false,
    -- JSON in its canonical form, for people and for search; no personal data
    ADD COLUMN metadata    text CONSTRAINT postings_metadata CHECK (octet_length(metadata) <= 4096),
    -- SHA-256 of what was asked for: the same posting asked for twice is one, another under its name is refused (L6)
    ADD COLUMN digest      bytea,
    -- postings are their own event stream: readers stop below their snapshot's xmin, and take a transaction whole
    ADD COLUMN xid         xid8 NOT NULL DEFAULT pg_current_xact_id();
UPDATE postings p
SET digest = sha256(convert_to(
        concat_ws(E'\x1f', p.kind, p.reference_id, COALESCE(p.store_id::text, ''), p.business_date, '', '', '',
                  (SELECT string_agg(e.line || ':' || e.account_id || ':' || e.amount_minor, E'\x1f' ORDER BY e.line)
                   FROM entries e WHERE e.book_id = p.book_id AND e.posting_id = p.posting_id)), 'UTF8'));
ALTER TABLE postings
    ALTER COLUMN digest SET NOT NULL,
    ADD CONSTRAINT postings_digest CHECK (octet_length(digest) = 32);
CREATE INDEX postings_stream ON postings (xid);
CREATE INDEX postings_reversals ON postings (book_id, reversal_of) WHERE reversal_of IS NOT NULL;

-- Money promised and not yet moved (冻结): HELD until it is used up (CAPTURED), given up (VOIDED) or past its time (EXPIRED). A hold is
-- only read and changed under its account's lock.
CREATE TABLE holds (
    book_id        uuid NOT NULL,
    hold_id        uuid NOT NULL,
    account_id     uuid NOT NULL,
    amount_minor   bigint NOT NULL CONSTRAINT holds_amount CHECK (amount_minor > 0),
    captured_minor bigint NOT NULL DEFAULT 0,
    state          text NOT NULL CONSTRAINT holds_state CHECK (state IN ('HELD', 'CAPTURED', 'VOIDED', 'EXPIRED')),
    -- the business object it was made for
    reference_id   uuid NOT NULL,
    expires_at     timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    resolved_at    timestamptz,
    PRIMARY KEY (book_id, hold_id),
    FOREIGN KEY (book_id, account_id) REFERENCES accounts,
    CONSTRAINT holds_captured CHECK (captured_minor BETWEEN 0 AND amount_minor),
    CONSTRAINT holds_resolved CHECK ((state = 'HELD') = (resolved_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX holds_expiring ON holds (expires_at) WHERE state = 'HELD';

-- Every change of a floor, with the entry it came after: what an account was allowed at any entry can be proven later (L8).
CREATE TABLE floor_changes (
    book_id     uuid NOT NULL,
    change_id   uuid NOT NULL,
    account_id  uuid NOT NULL,
    after_seq   bigint NOT NULL,
    floor_minor bigint,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, change_id),
    FOREIGN KEY (book_id, account_id) REFERENCES accounts
);

GRANT SELECT, INSERT ON floor_changes TO haodian_app;
GRANT SELECT, INSERT, UPDATE ON holds TO haodian_app;
GRANT UPDATE (closed_day) ON books TO haodian_app;
