"""`python -m rescue.liveness`: the liveness probe of rescue. PostgreSQL or Redis away is no failure here."""

from rescue.settings import RescueSettings
from telemetry.heartbeat import probe

if __name__ == "__main__":
    probe("rescue", interval=RescueSettings().rescue_interval_seconds)
