-- How many milliseconds did the tasks of each hour of the last day wait in the queue, and how many did scoring take?
-- Hours are those of submission. Tasks that still wait are left out, so under a backlog the last hours look too good.
WITH scored AS (
    SELECT
        date_trunc('hour', submitted_at, 'UTC') AS hour,
        model,
        attempt,
        -- The start is that of the attempt that succeeded: earlier attempts count as waiting.
        1000 * extract(epoch FROM started_at - submitted_at)::double precision AS wait_ms,
        1000 * extract(epoch FROM finished_at - started_at)::double precision AS scoring_ms
    FROM tasks
    WHERE submitted_at > now() - interval '1 day'
        -- An id begins with the milliseconds since 1970 (UUIDv7), so that the primary key spares reading all older
        -- tasks. The handler's clock made it: one hour more than above, should that clock be slow.
        AND id > rpad(
            lpad(to_hex((1000 * extract(epoch FROM now() - interval '25 hours'))::bigint), 12, '0'), 32, '0'
        )::uuid
        AND status = 'SUCCESS'
)
SELECT
    hour,
    model,
    count(*) AS tasks,
    count(*) FILTER (WHERE attempt > 1) AS retried,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY wait_ms)::numeric, 1) AS wait_p50,
    round(percentile_cont(0.9) WITHIN GROUP (ORDER BY wait_ms)::numeric, 1) AS wait_p90,
    round(percentile_cont(0.99) WITHIN GROUP (ORDER BY wait_ms)::numeric, 1) AS wait_p99,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY scoring_ms)::numeric, 1) AS scoring_p50,
    round(percentile_cont(0.9) WITHIN GROUP (ORDER BY scoring_ms)::numeric, 1) AS scoring_p90,
    round(percentile_cont(0.99) WITHIN GROUP (ORDER BY scoring_ms)::numeric, 1) AS scoring_p99
FROM scored
GROUP BY hour, model
ORDER BY hour, model;
