"""A model that misbehaves on demand. It lies beside the tests; `tests/faults/catalogue.py` serves it."""
