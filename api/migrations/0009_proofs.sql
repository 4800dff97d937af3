-- Tamper evidence: one append-only Merkle log over all entries (RFC 6962 hashing), kept in tiles of 256 hashes, with a sealed head a day.

CREATE TABLE log_tiles (
    -- 0: hashes of entries; n: roots of the full tiles of level n - 1
    level         smallint NOT NULL CONSTRAINT log_tiles_level CHECK (level BETWEEN 0 AND 7),
    tile          bigint NOT NULL CONSTRAINT log_tiles_tile CHECK (tile >= 0),
    hashes        bytea NOT NULL CONSTRAINT log_tiles_hashes CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    -- level 0: the place of the first entry in the stream, to find an entry's number without a row for each
    first_xid     xid8,
    first_book    uuid,
    first_posting uuid,
    first_line    smallint,
    PRIMARY KEY (level, tile),
    CONSTRAINT log_tiles_first CHECK ((level = 0) = (num_nonnulls(first_xid, first_book, first_posting, first_line) = 4))
);
ALTER TABLE log_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;
CREATE INDEX log_tiles_place ON log_tiles (first_xid, first_book, first_posting, first_line) WHERE level = 0;

-- How far the log has come: every entry of a posting at or before this place is in it, and no other.
CREATE TABLE log_state (
    singleton  boolean PRIMARY KEY DEFAULT true CONSTRAINT log_state_one CHECK (singleton),
    size       bigint NOT NULL CONSTRAINT log_state_size CHECK (size >= 0),
    xid        xid8 NOT NULL,
    book_id    uuid NOT NULL,
    posting_id uuid NOT NULL
);
INSERT INTO log_state (size, xid, book_id, posting_id)
VALUES (0, '0', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000');

-- The head of a day: every entry booked on it or before is among the first size leaves. Written once.
CREATE TABLE log_seals (
    day       date PRIMARY KEY,
    size      bigint NOT NULL CONSTRAINT log_seals_size CHECK (size > 0),
    root      bytea NOT NULL CONSTRAINT log_seals_root CHECK (octet_length(root) = 32),
    sealed_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE (hashes) ON log_tiles TO haodian_app;
GRANT SELECT, UPDATE ON log_state TO haodian_app;
GRANT SELECT, INSERT ON log_seals TO haodian_app;
