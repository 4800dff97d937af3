-- Shares that a channel takes back with the refund alone (退分账): receivers' parts are HELD until the refund has its word, the request for them
-- goes with the refund under its number, and what the channel left with a receiver is no return. And a finish that a channel refused for good.

ALTER TABLE split_return_lines DROP CONSTRAINT split_return_lines_status;
ALTER TABLE split_return_lines
    -- HELD: set aside in its receiver's book until the refund takes it back; FAILED: its receiver keeps it
    ADD CONSTRAINT split_return_lines_status CHECK (status IN ('WAIT', 'HELD', 'SENT', 'RETURNED', 'FAILED')),
    ADD COLUMN error_code text,
    ADD CONSTRAINT split_return_lines_error CHECK (error_code IS NULL OR status = 'FAILED');

ALTER TABLE split_calls DROP CONSTRAINT split_calls_kind;
ALTER TABLE split_calls DROP CONSTRAINT split_calls_part;
ALTER TABLE split_calls
    ADD CONSTRAINT split_calls_kind CHECK (kind IN ('DIVIDE', 'FINISH', 'RETURN', 'REFUND')),
    -- of REFUND, whose number is the refund's, part_id is the whole return
    ADD CONSTRAINT split_calls_part CHECK ((kind IN ('RETURN', 'REFUND')) = (part_id IS NOT NULL));

ALTER TABLE split_orders
    -- why a channel refused for good to finish a payment of it: a person has to have it tried again
    ADD COLUMN finish_error text;
CREATE INDEX split_orders_finish_refused ON split_orders (created_at) WHERE finish_error IS NOT NULL;
