-- Of the clients that began in each of the last 13 weeks, what percentage submitted again in later weeks?
-- Weeks begin on Monday, in UTC. This week is not over, and a week that has not begun is NULL.
WITH active AS (
    SELECT client, date_bin('7 days', submitted_at, '2001-01-01 00:00 UTC') AS week  -- that day was a Monday
    FROM tasks
    -- A week is 168 hours, because interval '7 days' would follow the summer time of the session.
    WHERE submitted_at >= date_bin('7 days', now(), '2001-01-01 00:00 UTC') - 12 * interval '168 hours'
        -- The primary key finds the rows by the time in their ids: earlier by an hour or more, as in waits-by-hour.
        AND id > rpad(
            lpad(to_hex((1000 * extract(epoch FROM now() - interval '92 days'))::bigint), 12, '0'), 32, '0'
        )::uuid
        AND client IS NOT NULL
    GROUP BY client, week
),
began AS (
    SELECT client, min(week) AS week
    FROM active
    GROUP BY client
    -- tasks_of_client, an index, finds an earlier task.
    HAVING NOT EXISTS (
        SELECT FROM tasks
        WHERE tasks.client = active.client
            AND submitted_at < date_bin('7 days', now(), '2001-01-01 00:00 UTC') - 12 * interval '168 hours'
    )
),
returned AS (
    SELECT began.week, extract(epoch FROM active.week - began.week)::int / 604800 AS later, count(*) AS clients
    FROM began
    JOIN active USING (client)
    GROUP BY began.week, later
),
percentages AS (
    SELECT week, later, cohorts.clients, round(100.0 * coalesce(returned.clients, 0) / cohorts.clients, 1) AS percent
    FROM (SELECT week, count(*) AS clients FROM began GROUP BY week) AS cohorts
    CROSS JOIN generate_series(0, 12) AS later
    LEFT JOIN returned USING (week, later)
    WHERE week + later * interval '168 hours' <= now()
)
SELECT
    (week AT TIME ZONE 'UTC')::date AS began,
    clients,
    max(percent) FILTER (WHERE later = 1) AS week_1,
    max(percent) FILTER (WHERE later = 2) AS week_2,
    max(percent) FILTER (WHERE later = 3) AS week_3,
    max(percent) FILTER (WHERE later = 4) AS week_4,
    max(percent) FILTER (WHERE later = 8) AS week_8,
    max(percent) FILTER (WHERE later = 12) AS week_12
FROM percentages
GROUP BY week, clients
ORDER BY week;
