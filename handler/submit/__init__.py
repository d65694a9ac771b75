"""Accepts submissions: options, validation, backlog, and the commit that several submissions share."""
