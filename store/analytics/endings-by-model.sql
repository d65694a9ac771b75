-- How did the tasks of the last week end, by model, and how many needed more than one attempt?
SELECT
    model,
    count(*) AS tasks,
    count(*) FILTER (WHERE status IN ('PENDING', 'STARTED')) AS unfinished,
    -- Percent of all tasks of the model, the unfinished included.
    round(100 * avg((status = 'SUCCESS')::int), 2) AS scored_percent,
    round(100 * avg((status = 'FAILURE')::int), 2) AS failed_percent,
    round(100 * avg((status = 'REVOKED')::int), 2) AS cancelled_percent,
    round(100 * avg((status = 'EXPIRED')::int), 2) AS expired_percent,
    round(100 * avg((attempt > 1)::int), 2) AS retried_percent,
    sum(lost_attempts) AS lost_attempts
FROM tasks
WHERE submitted_at > now() - interval '7 days'
    -- The primary key finds the rows by the time in their ids: earlier by an hour or more, as in waits-by-hour.
    AND id > rpad(
        lpad(to_hex((1000 * extract(epoch FROM now() - interval '7 days 1 hour'))::bigint), 12, '0'), 32, '0'
    )::uuid
GROUP BY model
ORDER BY model;
