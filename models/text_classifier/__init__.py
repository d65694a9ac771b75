"""Labels texts by their topic."""
