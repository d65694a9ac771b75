"""Keeps models in memory and scores the tasks that messages name; brings back what was lost (rescue)."""
