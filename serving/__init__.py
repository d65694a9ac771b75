"""What the platform requires of a served model: its contract, artifact, wire format and training."""
