"""Says what is in an image."""
