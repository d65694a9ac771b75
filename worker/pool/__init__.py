"""The engine of ENGINE=pool: the handler's container scores in processes of its own (docs/explanation/engines.md)."""
