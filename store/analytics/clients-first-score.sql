-- How long did each client that joined in the last 90 days take from its key to its first task, and to its first score?
-- A client joins with its first key. NULL: it has not submitted, or nothing of it has been scored.
WITH joined AS (
    SELECT client, min(created_at) AS key_made
    FROM api_keys
    WHERE role IN ('submit', 'admin')  -- the others cannot submit
    GROUP BY client
    HAVING min(created_at) > now() - interval '90 days'
)
SELECT
    client,
    key_made,
    first_task,
    first_score,
    round(extract(epoch FROM first_task - key_made) / 3600, 2) AS hours_to_first_task,
    round(extract(epoch FROM first_score - key_made) / 3600, 2) AS hours_to_first_score
FROM joined
-- The index tasks_of_client has these columns.
CROSS JOIN LATERAL (
    SELECT
        min(submitted_at) AS first_task,
        min(submitted_at) FILTER (WHERE status = 'SUCCESS') AS first_successful
    FROM tasks
    WHERE tasks.client = joined.client
) AS submitted
-- A task that was scored sooner was submitted before the first successful one had been scored.
CROSS JOIN LATERAL (
    SELECT min(finished_at) AS first_score
    FROM tasks
    WHERE tasks.client = joined.client
        AND status = 'SUCCESS'
        AND submitted_at <= (
            SELECT min(finished_at)
            FROM tasks
            WHERE tasks.client = joined.client
                AND status = 'SUCCESS'
                AND submitted_at = first_successful
        )
) AS scored
ORDER BY key_made DESC, client
LIMIT 100;
