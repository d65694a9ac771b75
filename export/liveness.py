"""`python -m export.liveness`: the liveness probe of the export. PostgreSQL or the bucket away is no failure here."""

from export.settings import ExportSettings
from telemetry.heartbeat import probe

if __name__ == "__main__":
    probe("export", interval=ExportSettings().export_interval_seconds)
