//! The SQL of the rules about reviews and models.

use sqlx::PgConnection;

use crate::check::Found;

pub(super) async fn papers_wait_for_their_task(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH waiting AS (
               SELECT document_id, document_version FROM review_tasks WHERE purpose = 'LIVE' AND status IN ('OPEN', 'CLAIMED')
           ), bad AS (
               SELECT format('document %s is in review as version %s, and no task waits for it', d.document_id, d.version) AS violation
               FROM documents d
               LEFT JOIN waiting w ON w.document_id = d.document_id AND w.document_version = d.version
               WHERE d.status = 'IN_REVIEW' AND w.document_id IS NULL
               UNION ALL
               SELECT format('a task waits for version %s of document %s, which is %s as version %s', w.document_version, w.document_id,
                             d.status, d.version)
               FROM waiting w
               JOIN documents d ON d.document_id = w.document_id
               WHERE d.status <> 'IN_REVIEW' OR d.version <> w.document_version
           )
           SELECT (SELECT count(*) FROM documents) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn opinions_settle_tasks(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH said AS (
               SELECT t.task_id, t.status, t.risk, t.opinions, t.decision, count(o.task_id) AS given, count(DISTINCT o.decided_by) AS people,
                      count(o.task_id) FILTER (WHERE o.decision = t.decision) AS agreeing, COALESCE(max(o.round), 0) AS last
               FROM review_tasks t
               LEFT JOIN review_opinions o ON o.task_id = t.task_id
               GROUP BY t.task_id, t.status, t.risk, t.opinions, t.decision
           ), bad AS (
               SELECT format('task %s counts %s opinions, %s were given by %s people, the last as number %s', task_id, opinions, given, people,
                             last) AS violation
               FROM said
               WHERE opinions <> given OR people <> given OR last <> given
               UNION ALL
               SELECT format('task %s of %s risk is %s as %s after %s opinions, %s of them that', task_id, risk, status, decision, given,
                             agreeing)
               FROM said
               WHERE (status = 'DECIDED') <> (CASE risk WHEN 'NORMAL' THEN given = 1 ELSE given >= 2 AND agreeing = 2 END)
           )
           SELECT (SELECT count(*) FROM review_tasks) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn papers_stand_as_decided(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH bad AS (
               SELECT format('document %s is %s, and the review of its version %s said %s', d.document_id, d.status, d.version, t.decision)
                          AS violation
               FROM review_tasks t
               JOIN documents d ON d.document_id = t.document_id AND d.version = t.document_version
               WHERE t.purpose = 'LIVE' AND t.status = 'DECIDED'
                 AND d.status <> CASE t.decision WHEN 'APPROVE' THEN 'APPROVED' ELSE 'REJECTED' END
               UNION ALL
               SELECT format('task %s samples version %s of document %s, which the pipeline did not approve', t.task_id, t.document_version,
                             t.document_id)
               FROM review_tasks t
               JOIN documents d ON d.document_id = t.document_id
               LEFT JOIN document_findings f ON f.document_id = t.document_id AND f.version = t.document_version
               WHERE t.purpose = 'AUDIT'
                 AND (f.verdict IS DISTINCT FROM 'approve' OR d.status <> 'APPROVED' OR d.version <> t.document_version)
           )
           SELECT (SELECT count(*) FROM review_tasks) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn known_items_have_answers(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH bad AS (
               SELECT format('task %s is %s and has%s answer', t.task_id, t.purpose, CASE WHEN s.task_id IS NULL THEN ' no' ELSE ' an' END)
                          AS violation
               FROM review_tasks t
               LEFT JOIN review_seeds s ON s.task_id = t.task_id
               WHERE (t.purpose = 'SEED') <> (s.task_id IS NOT NULL)
           )
           SELECT (SELECT count(*) FROM review_tasks) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn models_stand_as_promoted(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH bad AS (
               SELECT format('version %s reads papers by promotion %s, which is of version %s and %s', s.version_id, s.promotion_id,
                             p.version_id, p.status) AS violation
               FROM model_state s
               LEFT JOIN model_promotions p ON p.promotion_id = s.promotion_id
               WHERE s.version_id IS DISTINCT FROM p.version_id OR (s.promotion_id IS NOT NULL AND p.status IS DISTINCT FROM 'DONE')
               UNION ALL
               SELECT format('promotion %s is done after what reads papers', p.promotion_id)
               FROM model_promotions p
               CROSS JOIN model_state s
               LEFT JOIN model_promotions n ON n.promotion_id = s.promotion_id
               WHERE p.status = 'DONE' AND (n.promotion_id IS NULL OR p.decided_at > n.decided_at)
               UNION ALL
               SELECT format('promotion %s of version %s rests on run %s, of %s against %s and%s worse', p.promotion_id, p.version_id, p.run_id,
                             r.candidate_id, r.baseline_id, CASE WHEN r.not_worse THEN ' not' ELSE '' END)
               FROM model_promotions p
               JOIN model_runs r ON r.run_id = p.run_id
               WHERE NOT r.not_worse OR r.candidate_id <> p.version_id OR (p.replaces IS NOT NULL AND r.baseline_id <> p.replaces)
           )
           SELECT (SELECT count(*) FROM model_promotions) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}
