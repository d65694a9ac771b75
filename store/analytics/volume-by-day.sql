-- How many tasks and inputs did each version of each model score on each of the last 30 days?
-- Days are those of submission, in UTC. Today is not over, and tasks that still wait are left out.
SELECT
    (submitted_at AT TIME ZONE 'UTC')::date AS day,
    model,
    model_version,
    count(*) AS tasks,
    sum(n_inputs) AS inputs
FROM tasks
-- A day is 24 hours, because interval '1 day' would follow the summer time of the session.
WHERE submitted_at >= date_trunc('day', now(), 'UTC') - 29 * interval '24 hours'
    -- The primary key finds the rows by the time in their ids: earlier by an hour or more, as in waits-by-hour.
    AND id > rpad(
        lpad(to_hex((1000 * extract(epoch FROM now() - interval '31 days'))::bigint), 12, '0'), 32, '0'
    )::uuid
    AND status = 'SUCCESS'
GROUP BY day, model, model_version
ORDER BY day, model, model_version;
