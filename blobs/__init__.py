"""Files in a folder or a bucket: exported days, and files of models that are too large for PostgreSQL."""
