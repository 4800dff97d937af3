-- Withdrawals are paid by one of several banks, and customers pay at their own bank too.

ALTER TABLE withdrawals
    -- the bank that is asked, and asked again: chosen when it is requested, never changed
    ADD COLUMN bank text NOT NULL DEFAULT 'SANDBOX_BANK' CONSTRAINT withdrawals_bank CHECK (bank ~ '^[A-Z_]{1,32}$');

ALTER TABLE payment_attempts DROP CONSTRAINT payment_attempts_wallet;
ALTER TABLE payment_attempts
    ADD CONSTRAINT payment_attempts_wallet CHECK (wallet IN ('WECHAT', 'ALIPAY', 'UNIONPAY', 'ECNY', 'BANK'));
