-- How much waits now, by model and priority, and for how many seconds has the oldest task waited?
SELECT
    model,
    CASE priority WHEN 0 THEN 'high' WHEN 1 THEN 'normal' ELSE 'low' END AS priority,
    count(*) AS tasks,
    sum(n_inputs) AS inputs,
    min(submitted_at) AS oldest,
    round(extract(epoch FROM now() - min(submitted_at)), 1) AS oldest_seconds,
    -- The first of them to expire, where some have a deadline.
    min(deadline) AS next_deadline
FROM tasks
WHERE status = 'PENDING'
GROUP BY model, tasks.priority
ORDER BY model, tasks.priority;
