"""Scores chunks: claim, predict, finish. Knows neither Celery nor Redis's messages."""
