-- Which channel a payment went to and why; payments that found none; what operators switched off.

ALTER TABLE payment_attempts
    -- whose app the customer said to pay from
    ADD COLUMN wallet text CONSTRAINT payment_attempts_wallet CHECK (wallet IN ('WECHAT', 'ALIPAY', 'UNIONPAY', 'ECNY')),
    -- the line of the routing table that took it: quotas are counted by it
    ADD COLUMN candidate text NOT NULL DEFAULT '' CONSTRAINT payment_attempts_candidate CHECK (char_length(candidate) <= 64),
    -- the decision: inputs, snapshot and what was found of every candidate, as JSON (P7, C3)
    ADD COLUMN decision text CONSTRAINT payment_attempts_decision CHECK (char_length(decision) <= 32768);
-- what a day's quota has left when a process starts, and how well the channels do
CREATE INDEX payment_attempts_sent ON payment_attempts (sent_at);

-- Payments that no channel could take: ours, whatever the reasons (C4).
CREATE TABLE unrouted_payments (
    book_id    uuid NOT NULL,
    attempt_id uuid NOT NULL,
    order_id   uuid NOT NULL,
    decision   text NOT NULL CONSTRAINT unrouted_payments_decision CHECK (char_length(decision) <= 32768),
    refused_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, attempt_id),
    FOREIGN KEY (book_id, order_id) REFERENCES orders
);
CREATE INDEX unrouted_payments_order ON unrouted_payments (book_id, order_id);

-- What operators decided about channels. Every process follows it within a second; a channel without a row is on.
CREATE TABLE channel_switches (
    channel    text PRIMARY KEY,
    state      text NOT NULL CONSTRAINT channel_switches_state CHECK (state IN ('ON', 'OFF', 'MAINTENANCE')),
    -- of maintenance: when it ends
    until      timestamptz,
    changed_at timestamptz NOT NULL,
    CONSTRAINT channel_switches_until CHECK ((state = 'MAINTENANCE') = (until IS NOT NULL))
);

GRANT SELECT, INSERT ON unrouted_payments TO haodian_app;
GRANT SELECT, INSERT, UPDATE ON channel_switches TO haodian_app;
