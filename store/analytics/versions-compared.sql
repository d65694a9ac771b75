-- How do the model versions of the last 30 days differ in what they score?
WITH scored AS (
    SELECT model_version, score, scored_at
    FROM report_scores
    WHERE scored_at > now() - interval '30 days'
),
versions AS (
    SELECT
        model_version,
        count(*) AS reports,
        avg(score) AS mean,
        percentile_cont(ARRAY[0.1, 0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY score) AS quantiles,
        min(scored_at) AS first_scored,
        max(scored_at) AS last_scored,
        row_number() OVER (ORDER BY min(scored_at), model_version) AS place
    FROM scored
    GROUP BY model_version
),
histograms AS (
    SELECT
        model_version,
        least(width_bucket(score, 0, 1, 10), 10) AS tenth,
        count(*) AS reports
    FROM scored
    GROUP BY model_version, tenth
),
-- The share of each tenth; an empty one counts as 0.0001, because the logarithm below needs a share.
shares AS (
    SELECT
        place,
        tenth,
        greatest(coalesce(histograms.reports, 0) / versions.reports::double precision, 0.0001) AS share
    FROM versions
    CROSS JOIN generate_series(1, 10) AS tenth
    LEFT JOIN histograms USING (model_version, tenth)
),
-- Population stability index against the version before: below 0.1 alike, above 0.25 different. It does not tell
-- a change of the model from a change of the reports, because each version scored the reports of its own time.
drift AS (
    SELECT later.place, sum((later.share - before.share) * ln(later.share / before.share)) AS psi
    FROM shares AS later
    JOIN shares AS before ON before.place = later.place - 1 AND before.tenth = later.tenth
    GROUP BY later.place
)
SELECT
    model_version,
    reports,
    round(mean::numeric, 4) AS mean_score,
    round(quantiles[1]::numeric, 4) AS p10,
    round(quantiles[2]::numeric, 4) AS p50,
    round(quantiles[3]::numeric, 4) AS p90,
    round(quantiles[4]::numeric, 4) AS p99,
    round(psi::numeric, 4) AS psi_to_previous,
    first_scored,
    last_scored
FROM versions
LEFT JOIN drift USING (place)
ORDER BY place;
