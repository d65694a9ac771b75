-- How many inputs did each client submit in the last week and in the week before, and how much has it grown?
WITH weeks AS (
    SELECT
        client,
        coalesce(sum(n_inputs) FILTER (WHERE submitted_at > now() - interval '7 days'), 0) AS inputs,
        coalesce(sum(n_inputs) FILTER (WHERE submitted_at <= now() - interval '7 days'), 0) AS inputs_before
    FROM tasks
    WHERE submitted_at > now() - interval '14 days'
        -- The primary key finds the rows by the time in their ids: earlier by an hour or more, as in waits-by-hour.
        AND id > rpad(
            lpad(to_hex((1000 * extract(epoch FROM now() - interval '14 days 1 hour'))::bigint), 12, '0'), 32, '0'
        )::uuid
        AND client IS NOT NULL
    GROUP BY client
)
SELECT
    client,
    inputs_before,
    inputs,
    inputs - inputs_before AS change,
    -- NULL for a client that submitted nothing in the week before.
    round(100.0 * (inputs - inputs_before) / nullif(inputs_before, 0), 1) AS percent
FROM weeks
ORDER BY abs(inputs - inputs_before) DESC, client
LIMIT 50;
