-- Which labels did the classifiers give in the last week, and in the week before, and how often were they unsure?
WITH labelled AS (
    SELECT 'text_classifier' AS model, label, probability, scored_at > now() - interval '7 days' AS is_last
    FROM text_labels
    WHERE scored_at > now() - interval '14 days'
    UNION ALL
    SELECT 'image_classifier', label, probability, scored_at > now() - interval '7 days'
    FROM image_labels
    WHERE scored_at > now() - interval '14 days'
),
counted AS (
    SELECT
        model,
        label,
        count(*) FILTER (WHERE is_last) AS inputs,
        count(*) FILTER (WHERE NOT is_last) AS inputs_before,
        -- Below 0.6 the label is a guess. A cached answer counts as often as it was given.
        count(*) FILTER (WHERE is_last AND probability < 0.6) AS unsure
    FROM labelled
    GROUP BY model, label
)
SELECT
    model,
    label,
    inputs,
    round(100 * inputs / nullif(sum(inputs) OVER of_model, 0), 2) AS percent,
    round(100 * inputs_before / nullif(sum(inputs_before) OVER of_model, 0), 2) AS percent_before,
    unsure,
    round(100.0 * unsure / nullif(inputs, 0), 2) AS unsure_percent
FROM counted
WINDOW of_model AS (PARTITION BY model)
ORDER BY model, inputs DESC, label;
