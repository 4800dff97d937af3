-- Readers of the outbox: the queue form for engines without transaction marks, and what a reader could not handle.

-- The queue form: one row for each reader and event, taken with SKIP LOCKED and deleted in the transaction of its effect.
CREATE TABLE outbox_queue (
    book_id  uuid NOT NULL,
    event_id uuid NOT NULL,
    consumer text NOT NULL,
    PRIMARY KEY (book_id, event_id, consumer)
);
CREATE INDEX outbox_queue_next ON outbox_queue (consumer, event_id);

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

GRANT SELECT, INSERT, DELETE ON outbox_queue TO haodian_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox_dead_letters TO haodian_app;
