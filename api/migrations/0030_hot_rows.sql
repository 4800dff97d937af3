-- What a payment writes more than once is kept small, and out of indexes, so that its later versions stay on their page.

-- Why each attempt went where it went. Written once, while the attempt's own row is written three times.
CREATE TABLE payment_decisions (
    book_id    uuid NOT NULL,
    attempt_id uuid NOT NULL,
    decision   text NOT NULL CONSTRAINT payment_decisions_decision CHECK (char_length(decision) <= 32768),
    PRIMARY KEY (book_id, attempt_id)
);
INSERT INTO payment_decisions (book_id, attempt_id, decision)
SELECT book_id, attempt_id, decision FROM payment_attempts WHERE decision IS NOT NULL;
ALTER TABLE payment_attempts DROP COLUMN decision;
ALTER TABLE payment_attempts SET (fillfactor = 70);
GRANT SELECT, INSERT ON payment_decisions TO haodian_app;

-- The state itself was in the index's condition, so every order was entered into every index again with each of its states.
DROP INDEX orders_reserving;
ALTER TABLE orders
    ADD COLUMN reserved_until timestamptz GENERATED ALWAYS AS (CASE WHEN programme_id IS NOT NULL AND status = 'CREATED' THEN expires_at END) STORED;
ALTER TABLE orders SET (fillfactor = 70);
-- those that reserve some of a budget and that nobody may be paying
CREATE INDEX orders_reserving ON orders (reserved_until, order_id) WHERE reserved_until IS NOT NULL;
