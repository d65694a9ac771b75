"""The worker: keeps models in memory and scores the tasks that messages name."""
