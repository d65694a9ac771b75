"""`get_logger`, which the public package's examples use."""

from logging import Logger, getLogger

__all__ = ["get_logger"]


def get_logger(name: str) -> Logger:
    return getLogger(name)
