-- Payment products: what they say, by version; what each order froze of one; money held in an account of its order, and its release.

-- A content is written once and never changed: the application may insert and read.
CREATE TABLE products (
    code         text NOT NULL CONSTRAINT products_code CHECK (code ~ '^[A-Z][A-Z0-9_]{0,31}$'),
    version      integer NOT NULL CONSTRAINT products_version CHECK (version > 0),
    -- JSON in its canonical form
    body         text NOT NULL CONSTRAINT products_body CHECK (octet_length(body) <= 65536),
    -- SHA-256 of the body: the same content is the same version
    digest       bytea NOT NULL CONSTRAINT products_digest CHECK (octet_length(digest) = 32),
    published_at timestamptz NOT NULL,
    PRIMARY KEY (code, version),
    CONSTRAINT products_once UNIQUE (code, digest)
);
GRANT SELECT, INSERT ON products TO haodian_app;

ALTER TABLE orders
    -- version 0: made before there were products
    ADD COLUMN product_code    text NOT NULL DEFAULT 'STORE_PAYMENT',
    ADD COLUMN product_version integer NOT NULL DEFAULT 0 CONSTRAINT orders_product_version CHECK (product_version >= 0),
    -- what is frozen of the product: fee, hold, split with its parties, settlement
    ADD COLUMN terms           jsonb,
    -- the order's escrow account (E1): what came in, what was released to the merchant, what went back to the payer
    ADD COLUMN funded_minor    bigint NOT NULL DEFAULT 0,
    ADD COLUMN released_minor  bigint NOT NULL DEFAULT 0,
    ADD COLUMN returned_minor  bigint NOT NULL DEFAULT 0,
    -- when a part of it is due by itself
    ADD COLUMN release_at      timestamptz,
    ADD CONSTRAINT orders_terms CHECK ((product_version = 0) = (terms IS NULL)),
    ADD CONSTRAINT orders_escrow CHECK (released_minor >= 0 AND returned_minor >= 0 AND released_minor + returned_minor <= funded_minor);
CREATE INDEX orders_release_due ON orders (release_at, order_id) WHERE release_at IS NOT NULL;

-- What an order froze stays: only what happens to it may change.
REVOKE UPDATE ON orders FROM haodian_app;
GRANT UPDATE (status, refunded_minor, paid_at, closed_at, funded_minor, released_minor, returned_minor, release_at) ON orders TO haodian_app;

-- Releases (放款) of held money, each posted once.
CREATE TABLE order_releases (
    book_id      uuid NOT NULL,
    release_id   uuid NOT NULL,
    order_id     uuid NOT NULL,
    -- empty: the hold has no stages
    stage        text NOT NULL,
    -- what left the escrow account; the fee is a part of it
    amount_minor bigint NOT NULL CONSTRAINT order_releases_amount CHECK (amount_minor > 0),
    fee_minor    bigint NOT NULL CONSTRAINT order_releases_fee CHECK (fee_minor >= 0),
    currency     text NOT NULL,
    -- none: the platform itself, or the payer
    released_by  uuid,
    released_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, release_id),
    FOREIGN KEY (book_id, order_id) REFERENCES orders,
    CONSTRAINT order_releases_fee_within CHECK (fee_minor <= amount_minor)
);
CREATE INDEX order_releases_order ON order_releases (book_id, order_id);

-- Who has confirmed which stage, where both have to.
CREATE TABLE order_confirmations (
    book_id      uuid NOT NULL,
    order_id     uuid NOT NULL,
    stage        text NOT NULL,
    side         text NOT NULL CONSTRAINT order_confirmations_side CHECK (side IN ('MERCHANT', 'PAYER')),
    confirmed_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, order_id, stage, side),
    FOREIGN KEY (book_id, order_id) REFERENCES orders
);
GRANT SELECT, INSERT ON order_releases, order_confirmations TO haodian_app;
