-- Readers of the outbox: who they are, the queue form for engines without transaction marks, and what a reader could not handle.

-- At most one row: how events are handed over from now on, to whom, and how far back they are kept. An event is appended in the form that
-- stands here at that moment and read in the form it was appended in, so that a change of form loses nothing and tells nothing twice. No row yet: by mark, to nobody.
CREATE TABLE outbox_state (
    singleton     boolean PRIMARY KEY DEFAULT true CONSTRAINT outbox_state_one CHECK (singleton),
    form          text NOT NULL CONSTRAINT outbox_state_form CHECK (form IN ('MARK', 'QUEUE')),
    -- the readers; in the queue form an event gets a row for each. In this row, so that who waits for its lock sees the newest list
    consumers     text[] NOT NULL DEFAULT '{}',
    -- events with a lower id may be gone
    purged_before uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);

-- Whether the event was appended in the queue form. A reader of marks passes it by.
ALTER TABLE outbox ADD COLUMN queued boolean NOT NULL DEFAULT false;
DROP INDEX outbox_order;
CREATE INDEX outbox_marked ON outbox (xid, event_id) WHERE NOT queued; -- capability: xid_watermark
CREATE INDEX outbox_queued ON outbox (event_id) WHERE queued;

-- A reader of marks that fails stops at its event for a bounded number of attempts, each counted before it begins.
ALTER TABLE outbox_cursors
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    -- events still to be taken one by one, after a batch did not go through
    ADD COLUMN careful  integer NOT NULL DEFAULT 0,
    -- not before; also what keeps others away between the count and the attempt
    ADD COLUMN retry_at timestamptz;

-- The queue form: one row for each reader and event, taken with SKIP LOCKED and deleted in the transaction of its effect.
CREATE TABLE outbox_queue (
    book_id  uuid NOT NULL,
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    retry_at timestamptz,
    PRIMARY KEY (book_id, consumer, event_id),
    CONSTRAINT outbox_queue_retry CHECK ((attempts = 0) = (retry_at IS NULL))
);
CREATE INDEX outbox_queue_fresh ON outbox_queue (consumer, event_id) WHERE attempts = 0;
CREATE INDEX outbox_queue_again ON outbox_queue (consumer, retry_at) WHERE attempts > 0;

-- Dead letters (死信): events that a reader gave up on. Kept with the reason until a person has them read again.
CREATE TABLE outbox_dead_letters (
    book_id     uuid NOT NULL,
    event_id    uuid NOT NULL,
    consumer    text NOT NULL,
    attempts    integer NOT NULL,
    error       text NOT NULL CONSTRAINT outbox_dead_letters_error CHECK (char_length(error) <= 500),
    died_at     timestamptz NOT NULL,
    -- asked to be read again; the row goes when that succeeded
    replay_at   timestamptz,
    PRIMARY KEY (book_id, event_id, consumer)
);
CREATE INDEX outbox_dead_letters_recent ON outbox_dead_letters (died_at DESC, event_id DESC, consumer DESC);
CREATE INDEX outbox_dead_letters_replay ON outbox_dead_letters (consumer, replay_at) WHERE replay_at IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON outbox_state TO haodian_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox_queue, outbox_dead_letters TO haodian_app;
-- what every reader has read and nobody needs goes after a while
GRANT DELETE, UPDATE (queued) ON outbox TO haodian_app;
