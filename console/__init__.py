"""The console: pages for people, made on the server of what the API's own functions answer."""
