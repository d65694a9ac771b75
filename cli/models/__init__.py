"""`millrace models`: which models there are, and what changes them. In containers: `python -m cli.models`."""
