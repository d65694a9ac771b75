"""The HTTP API. Imports no ML runtime."""

VERSION = "0.1.0"
"""Of Millrace: the package, the API and the documentation take it from here."""
