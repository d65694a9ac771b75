"""The HTTP endpoints, thin: read the request, call what does the work, answer."""
