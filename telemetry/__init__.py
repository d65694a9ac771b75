"""What every program reports of itself: logs, metrics, traces, liveness, and invalid settings."""
