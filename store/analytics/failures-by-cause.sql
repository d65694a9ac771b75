-- Why did tasks fail in the last week, and how many of them for each cause?
WITH failed AS (
    SELECT
        id,
        model,
        n_inputs,
        finished_at,
        -- The cause is the first line of the error without what differs from task to task: ids, quoted values, numbers.
        regexp_replace(
            regexp_replace(
                regexp_replace(split_part(error, E'\n', 1), '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'gi'),
                $$(?<!\w)'[^']*'(?!\w)|"[^"]*"$$, '<value>', 'g'  -- not the apostrophes of can't and won't
            ),
            '\m(0x[0-9a-f]+|\d+(\.\d+)*(e[-+]?\d+)?)', '<n>', 'gi'  -- \m, the start of a word, spares float32
        ) AS cause
    FROM tasks
    WHERE status = 'FAILURE'
        AND finished_at > now() - interval '7 days'
)
SELECT
    left(cause, 160) AS cause,
    model,
    count(*) AS tasks,
    sum(n_inputs) AS inputs,
    min(finished_at) AS first_seen,
    max(finished_at) AS last_seen,
    (array_agg(id ORDER BY finished_at DESC, id))[1] AS latest_task
FROM failed
GROUP BY left(cause, 160), model
ORDER BY tasks DESC, last_seen DESC
LIMIT 50;
