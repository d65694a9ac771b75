-- How many reports were scored in each hour of the last day, and how high did they score on average?
WITH scored AS (
    SELECT
        date_trunc('hour', scored_at, 'UTC') AS hour,
        count(*) AS reports,
        count(DISTINCT task_id) AS tasks,
        round(avg(score)::numeric, 4) AS mean_score
    FROM report_scores
    WHERE scored_at >= date_trunc('hour', now(), 'UTC') - interval '23 hours'
    GROUP BY hour
)
SELECT
    hour,
    coalesce(reports, 0) AS reports,
    coalesce(tasks, 0) AS tasks,
    mean_score
-- Every hour has its row: one without reports may have been an outage. The last one is not over yet.
FROM generate_series(date_trunc('hour', now(), 'UTC') - interval '23 hours', now(), interval '1 hour') AS hour
LEFT JOIN scored USING (hour)
ORDER BY hour;
