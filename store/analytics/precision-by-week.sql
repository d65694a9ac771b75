-- Of the reports that scored at least 0.5, how many of those that were reviewed were about real abuse, week by week, and by which version?
-- Naive: what ranked high was reviewed more often. `millrace evaluate --live` corrects for that. Weeks begin on Monday, in UTC.
SELECT
    (date_bin('7 days', p.scored_at, '2001-01-01 00:00 UTC') AT TIME ZONE 'UTC')::date AS week,
    p.model_version,
    count(*) AS reports,
    count(o.outcome) AS reviewed,
    count(*) FILTER (WHERE o.is_target) AS abuse,
    round(100.0 * count(*) FILTER (WHERE o.is_target) / nullif(count(o.outcome), 0), 2) AS precision_percent
FROM report_scores AS p
LEFT JOIN report_scorer_outcomes AS o ON o.task_id = p.task_id AND o.position = p.position
WHERE p.score >= 0.5
    AND p.scored_at >= date_bin('7 days', now(), '2001-01-01 00:00 UTC') - 11 * interval '168 hours'
GROUP BY week, p.model_version
ORDER BY week, p.model_version;
