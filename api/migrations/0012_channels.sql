-- Several channels with protocols of their own: how a customer was asked to pay, and what of a notice counts.

ALTER TABLE payment_attempts
    ADD COLUMN method text NOT NULL DEFAULT 'PAGE'
        CONSTRAINT payment_attempts_method CHECK (method IN ('PAGE', 'WAP', 'IN_APP', 'NATIVE', 'BARCODE')),
    -- how the customer is brought to pay, as JSON: {"url": …}, {"code": …}, {"call": …} or "wait"
    ADD COLUMN invitation text CONSTRAINT payment_attempts_invitation CHECK (char_length(invitation) <= 16384);
UPDATE payment_attempts SET invitation = json_build_object('url', pay_url)::text WHERE pay_url IS NOT NULL;
ALTER TABLE payment_attempts DROP COLUMN pay_url;

-- `body` is what came and was verified; `content` is what it says, equal for every delivery of one notice, however it was encrypted
ALTER TABLE notices ADD COLUMN content bytea CONSTRAINT notices_content CHECK (octet_length(content) <= 65536);
UPDATE notices SET content = body;
ALTER TABLE notices ALTER COLUMN content SET NOT NULL;
