"""Translates between languages with M2M100."""
