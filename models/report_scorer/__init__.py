"""Ranks user-generated abuse reports by priority."""
