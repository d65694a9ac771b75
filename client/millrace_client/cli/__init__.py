"""The command line: `millrace`. The server's package adds its own commands (entry points `millrace.commands`)."""
