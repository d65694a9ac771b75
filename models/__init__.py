"""The served models, one folder each, and the contract that they meet."""
