-- Bad cases (错例): pages that the pipeline read wrong, with what a reviewer says truly stands there. Append-only; later corrections of a page add to
-- earlier ones. The image is the version's own, values are sealed.
CREATE TABLE bad_cases (
    case_id          uuid PRIMARY KEY,
    task_id          uuid NOT NULL REFERENCES review_tasks,
    document_id      uuid NOT NULL,
    document_version integer NOT NULL,
    -- what the page truly is, and what the pipeline took it for; none: it could not be read
    kind             text NOT NULL,
    said_kind        text,
    -- {field: value}: what truly stands there (an empty value: nothing does), and what the pipeline read
    truth_sealed     bytea NOT NULL,
    said_sealed      bytea NOT NULL,
    -- names of the fields that were corrected, for those who may see no values
    fields           text[] NOT NULL,
    -- the models that read it, by content
    models           jsonb NOT NULL,
    corrected_by     uuid NOT NULL REFERENCES users,
    corrected_at     timestamptz NOT NULL,
    FOREIGN KEY (document_id, document_version) REFERENCES document_versions
);
CREATE INDEX bad_cases_page ON bad_cases (document_id, document_version, case_id);

GRANT SELECT, INSERT ON bad_cases TO haodian_app;
