-- Of the reports that were scored again in the last week, how did the score change from one version to the next?
WITH scored AS (
    SELECT task_id, position, report_id, score, model_version, scored_at
    FROM report_scores
    WHERE scored_at > now() - interval '7 days'
        AND report_id IS NOT NULL
),
repeated AS (
    SELECT report_id
    FROM scored
    GROUP BY report_id
    HAVING count(*) > 1
),
-- A report is one client's key: two clients may use the same one for different reports.
steps AS (
    SELECT
        scored.model_version AS to_version,
        lag(scored.model_version) OVER earlier AS from_version,
        scored.score,
        lag(scored.score) OVER earlier AS score_before
    FROM scored
    JOIN repeated USING (report_id)
    LEFT JOIN tasks ON tasks.id = scored.task_id
    WINDOW earlier AS (PARTITION BY tasks.client, report_id ORDER BY scored_at, task_id, position)
)
SELECT
    from_version,
    to_version,
    count(*) AS reports,
    -- Within one version, a change means that the report's fields were others.
    count(*) FILTER (WHERE score <> score_before) AS changed,
    round(avg(score - score_before)::numeric, 4) AS mean_change,
    round(avg(abs(score - score_before))::numeric, 4) AS mean_distance,
    round(max(score - score_before)::numeric, 4) AS largest_rise,
    round(min(score - score_before)::numeric, 4) AS largest_fall,
    count(*) FILTER (WHERE (score >= 0.5) <> (score_before >= 0.5)) AS crossed_half
FROM steps
WHERE from_version IS NOT NULL
GROUP BY from_version, to_version
ORDER BY reports DESC, from_version, to_version;
