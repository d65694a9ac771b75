"""`python -m webhooks.liveness`: the liveness probe of webhooks. PostgreSQL or Redis away is no failure here."""

from telemetry.heartbeat import probe

if __name__ == "__main__":
    probe("webhooks", interval=0)
