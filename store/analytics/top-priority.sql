-- Which reports of the last day should a person look at first?
SELECT
    round(score::numeric, 4) AS score,
    abuse_type,
    report_id,  -- the client's own key, if it sent one
    scored_at,
    model_version,
    task_id,
    position
FROM report_scores
WHERE scored_at > now() - interval '1 day'
-- By the unrounded score; of equal ones, the report that has waited longest comes first.
ORDER BY report_scores.score DESC, report_scores.scored_at, task_id, position
LIMIT 50;
