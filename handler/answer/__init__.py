"""Reads tasks and lists of tasks, and wakes the requests that wait for a task to end."""
