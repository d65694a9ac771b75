"""What handler and worker agree on: Celery's options, the queues, the message, and how they hear of endings."""
