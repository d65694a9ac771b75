"""BentoML tasks, a peer to measure. Imports nothing: the service runs where our own requirements are not."""
