"""Model events that somebody outside is to be told of: a version that went live, a refusal of the gate, drift.

They are rows already, so they are found by looking. Their ids are made of what they are about: looking again, or at
several places at once, notes each once.
"""

from sqlalchemy import Connection, text

DAYS = 7
"""Older events are not told of: nobody has asked for them while they were news. Retention keeps told ones longer."""

_NOTE = text(f"""
WITH found AS (
    SELECT 'model.' || event AS type, CAST(id AS text) AS about, at AS happened_at,
        jsonb_build_object('model', model, 'version', version, 'by', "by", 'reason', reason, 'gate', gate) AS data
    FROM model_events WHERE event IN ('promoted', 'rolled_back') AND at > now() - interval '{DAYS} days'
    UNION ALL
    SELECT 'model.gate_failed', CAST(id AS text), made_at,
        jsonb_build_object('model', model, 'version', version, 'against', against, 'reasons', report -> 'reasons')
    FROM gate_reports WHERE verdict = 'fail' AND made_at > now() - interval '{DAYS} days'
    UNION ALL
    SELECT 'drift.found', concat_ws('/', model, version, day), max(computed_at),
        jsonb_build_object('model', model, 'version', version, 'day', day, 'columns', jsonb_agg(
            jsonb_build_object('column', column_name, 'against', against, 'found', findings)
            ORDER BY column_name, against
        ))
    FROM model_versions JOIN drift USING (model, version)
    WHERE day >= current_date - {DAYS} AND found GROUP BY model, version, day
)
INSERT INTO event_webhooks (id, type, data, url, happened_at, due_at)
SELECT CAST(md5(type || ' ' || about) AS uuid), type, data, :url, happened_at, now() FROM found
ON CONFLICT (id) DO NOTHING
""")


def note(connection: Connection, url: str) -> int:
    """Have each new event told to this URL, and return how many there are."""
    return connection.execute(_NOTE, {"url": url}).rowcount
