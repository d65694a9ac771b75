-- How often did the score cache have the answer in the last day, by model?
SELECT model, count(*) AS inputs, count(*) FILTER (WHERE cached) AS from_cache, round(avg(cached::int), 3) AS share
FROM (
    SELECT 'image_classifier' AS model, cached FROM image_labels WHERE scored_at > now() - interval '1 day'
    UNION ALL
    SELECT 'text_classifier', cached FROM text_labels WHERE scored_at > now() - interval '1 day'
    UNION ALL
    SELECT 'translator', cached FROM translations WHERE scored_at > now() - interval '1 day'
) AS scored
GROUP BY model
ORDER BY model;
