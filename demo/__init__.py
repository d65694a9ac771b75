"""`millrace demo`: simulated traffic and reviewers, so that the pages about outcomes have something to show."""
