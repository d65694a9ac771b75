"""Which models and versions there are, which is live, and their files: PostgreSQL has it, each program a copy."""
