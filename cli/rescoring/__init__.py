"""Scores stored inputs by versions that are not live, beside their predictions and without touching a task.

Order: loading → scoring → comparison → gate, shadow → the commands.
"""
