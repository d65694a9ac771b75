"""Brings predictions to files: Parquet by model and day, in a folder or a bucket, for other programs to read."""
