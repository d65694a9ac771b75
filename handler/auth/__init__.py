"""Who may send requests: API keys, rate limits, and the pages of other sites."""
