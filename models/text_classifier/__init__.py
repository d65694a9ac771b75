"""Says which of the labels that it was trained on a text is about."""
