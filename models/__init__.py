"""The served models, one folder each."""
