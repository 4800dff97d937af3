-- Tamper evidence: one append-only Merkle log over all entries (RFC 6962 hashing), kept in tiles of 256 hashes, with a sealed head a day.

CREATE TABLE log_tiles (
    -- 0: hashes of entries; n: heads of the full tiles of level n - 1
    level         smallint NOT NULL CONSTRAINT log_tiles_level CHECK (level BETWEEN 0 AND 7),
    tile          bigint NOT NULL CONSTRAINT log_tiles_tile CHECK (tile >= 0),
    hashes        bytea NOT NULL CONSTRAINT log_tiles_hashes CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    -- level 0: the first entry's place in the stream, to find an entry's number without a row for each
    first_xid     xid8,
    first_book    uuid,
    first_posting uuid,
    first_line    smallint,
    PRIMARY KEY (level, tile)
);
ALTER TABLE log_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;
CREATE INDEX log_tiles_place ON log_tiles (first_xid, first_book, first_posting, first_line) WHERE level = 0;

-- How far the log has come: every entry of a transaction at or below the mark is in it.
CREATE TABLE log_state (
    singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT log_state_one CHECK (singleton),
    size      bigint NOT NULL CONSTRAINT log_state_size CHECK (size >= 0),
    mark      xid8 NOT NULL
);

CREATE TABLE log_seals (
    day       date PRIMARY KEY,
    size      bigint NOT NULL,
    root      bytea NOT NULL CONSTRAINT log_seals_root CHECK (octet_length(root) = 32),
    sealed_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON log_tiles, log_state TO haodian_app;
GRANT SELECT, INSERT ON log_seals TO haodian_app;
