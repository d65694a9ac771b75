"""All that depends on Celery: its application, tasks, transport, remote control and autoscaler."""
