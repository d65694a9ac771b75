"""Callbacks by Standard Webhooks 1.0.0: which URLs and addresses are allowed, what is posted and how it is signed."""
