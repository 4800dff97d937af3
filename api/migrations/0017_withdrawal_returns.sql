-- A bank may send back what it has paid, days later (退票): the money is ours again first, then the merchant's.

ALTER TABLE withdrawals DROP CONSTRAINT withdrawals_status;
ALTER TABLE withdrawals
    ADD CONSTRAINT withdrawals_status
        CHECK (status IN ('HELD', 'SUBMITTED', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'RETURNED', 'CREDITED_BACK')),
    -- when the bank's word that it came back was stored, and when the merchant had it again
    ADD COLUMN returned_at timestamptz,
    ADD COLUMN credited_back_at timestamptz,
    ADD CONSTRAINT withdrawals_returned CHECK ((returned_at IS NOT NULL) = (status IN ('RETURNED', 'CREDITED_BACK'))),
    ADD CONSTRAINT withdrawals_credited_back CHECK ((credited_back_at IS NOT NULL) = (status = 'CREDITED_BACK'));
