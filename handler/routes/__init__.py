"""The operations of the API: read the request, call what does the work, answer."""
