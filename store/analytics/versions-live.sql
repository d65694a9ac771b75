-- Which version of each model was live when, and who made it so?
-- At one time T: add WHERE live_from <= T AND (live_until IS NULL OR live_until > T).
SELECT model, version, live_from, live_until, by, reason
FROM (
    SELECT
        model,
        version,
        new_state,
        at AS live_from,
        by,
        reason,
        -- A version that is replaced leaves in an event of its own, so the next event of the model ends its time.
        min(at) FILTER (WHERE old_state = 'live') OVER (
            PARTITION BY model, version ORDER BY id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
        ) AS live_until
    FROM model_events
) AS moves
WHERE new_state = 'live'
ORDER BY model, live_from DESC
LIMIT 100;
