"""Brings back what was lost, forgets what is old, and counts what concerns the platform as a whole."""
