"""Burns CPU."""
