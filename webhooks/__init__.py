"""Standard Webhooks 1.0.0: which URLs are taken, which addresses are spoken to, what is posted and how it is signed."""
