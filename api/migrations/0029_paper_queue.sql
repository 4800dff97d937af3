-- The wait for a paper to be read is told from what the last ones took.
CREATE INDEX document_findings_recent ON document_findings (created_at);
