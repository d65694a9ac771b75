-- Which columns have drifted in the last 30 days, from what, since when, and how far?
-- `millrace drift` computes one day at a time. The index is to be compared with its band, what chance alone keeps it below.
SELECT
    model,
    version,
    column_name,
    against,
    count(*) AS days_compared,
    count(*) FILTER (WHERE found) AS days_found,
    min(day) FILTER (WHERE found) AS first_found,
    max(day) FILTER (WHERE found) AS last_found,
    (array_agg(array_to_string(findings, ', ') ORDER BY day DESC) FILTER (WHERE found))[1] AS what,
    round((array_agg(psi ORDER BY day DESC) FILTER (WHERE found))[1]::numeric, 4) AS psi,
    round((array_agg(band ORDER BY day DESC) FILTER (WHERE found))[1]::numeric, 4) AS band
FROM drift
WHERE day >= (now() AT TIME ZONE 'UTC')::date - 30
GROUP BY model, version, column_name, against
HAVING bool_or(found)
ORDER BY last_found DESC, days_found DESC, model, version, column_name, against;
