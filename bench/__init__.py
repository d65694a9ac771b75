"""Load schedules, the executor, the report; the plain design as a yardstick."""
