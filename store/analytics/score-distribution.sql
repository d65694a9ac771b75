-- How are the scores of the last week distributed, in tenths, for each abuse type?
WITH counted AS (
    SELECT
        abuse_type,
        least(width_bucket(score, 0, 1, 10), 10) AS tenth,  -- a score of exactly 1 would be in an eleventh
        count(*) AS reports
    FROM report_scores
    WHERE scored_at > now() - interval '7 days'
    GROUP BY abuse_type, tenth
),
totals AS (
    SELECT abuse_type, sum(reports) AS reports
    FROM counted
    GROUP BY abuse_type
)
SELECT
    abuse_type,
    format('%s – %s', round((tenth - 1) / 10.0, 1), round(tenth / 10.0, 1)) AS score,
    coalesce(counted.reports, 0) AS reports,
    round(100 * coalesce(counted.reports, 0) / totals.reports, 1) AS percent,
    repeat('█', round(40 * coalesce(counted.reports, 0) / totals.reports)::int) AS histogram  -- 40 blocks: 100 %
FROM totals
CROSS JOIN generate_series(1, 10) AS tenth
LEFT JOIN counted USING (abuse_type, tenth)
ORDER BY abuse_type, tenth;
