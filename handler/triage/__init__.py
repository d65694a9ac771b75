"""Which predictions reviewers get: what they may ask for, and how the platform draws."""
