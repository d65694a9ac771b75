-- Which clients submitted the most inputs in the last 30 days?
-- The client is NULL for what was submitted with AUTH=off.
SELECT
    client,
    sum(n_inputs) AS inputs,
    round(100 * sum(n_inputs) / sum(sum(n_inputs)) OVER (), 2) AS percent,
    count(*) AS tasks,
    round(avg(n_inputs), 1) AS inputs_per_task,
    round(100 * avg((status = 'FAILURE')::int), 2) AS failed_percent,
    max(submitted_at) AS latest_task
FROM tasks
WHERE submitted_at > now() - interval '30 days'
    -- The primary key finds the rows by the time in their ids: earlier by an hour or more, as in waits-by-hour.
    AND id > rpad(
        lpad(to_hex((1000 * extract(epoch FROM now() - interval '30 days 1 hour'))::bigint), 12, '0'), 32, '0'
    )::uuid
GROUP BY client
ORDER BY inputs DESC, client
LIMIT 20;
