-- Which hours of the week brought the most inputs, over the last four weeks?
WITH hours AS (
    SELECT
        date_trunc('hour', submitted_at, 'UTC') AT TIME ZONE 'UTC' AS hour,
        count(*) AS tasks,
        sum(n_inputs) AS inputs
    FROM tasks
    -- 672 whole hours: four of each hour of the week.
    WHERE submitted_at >= date_trunc('hour', now(), 'UTC') - interval '672 hours'
        AND submitted_at < date_trunc('hour', now(), 'UTC')
        -- The primary key finds the rows by the time in their ids: earlier by an hour or more, as in waits-by-hour.
        AND id > rpad(
            lpad(to_hex((1000 * extract(epoch FROM now() - interval '674 hours'))::bigint), 12, '0'), 32, '0'
        )::uuid
    GROUP BY hour
)
SELECT
    to_char(hour, 'FMDay') AS weekday,
    to_char(hour, 'HH24:00') AS hour_utc,
    -- An hour without a submission has no row above, and counts as 0.
    round(sum(tasks) / 4, 1) AS tasks_an_hour,
    round(sum(inputs) / 4, 1) AS inputs_an_hour,
    max(inputs) AS most_inputs
FROM hours
GROUP BY weekday, hour_utc
ORDER BY inputs_an_hour DESC, most_inputs DESC, min(hour)
LIMIT 24;
