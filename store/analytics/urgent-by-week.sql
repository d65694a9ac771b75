-- What share of the reports of each of the last twelve weeks scored at least 0.5, and at least 0.9, by abuse type?
-- Weeks begin on Monday, in UTC. This week is not over.
WITH weeks AS (
    SELECT
        date_bin('7 days', scored_at, '2001-01-01 00:00 UTC') AS week,  -- that day was a Monday
        abuse_type,
        count(*) AS reports,
        avg(score) AS mean,
        count(*) FILTER (WHERE score >= 0.5) AS from_half,
        count(*) FILTER (WHERE score >= 0.9) AS from_nine_tenths
    FROM report_scores
    -- A week is 168 hours, because interval '7 days' would follow the summer time of the session.
    WHERE scored_at >= date_bin('7 days', now(), '2001-01-01 00:00 UTC') - 11 * interval '168 hours'
    GROUP BY week, abuse_type
)
SELECT
    (week AT TIME ZONE 'UTC')::date AS week,
    abuse_type,
    reports,
    round(mean::numeric, 4) AS mean_score,
    from_half,
    round(100.0 * from_half / reports, 2) AS from_half_percent,
    from_nine_tenths,
    round(100.0 * from_nine_tenths / reports, 2) AS from_nine_tenths_percent
FROM weeks
ORDER BY weeks.week, abuse_type;
