"""The public package's errors that can still happen."""

from pool.mlpool import JobWithSuchIDDoesntExistError, UserProvidedCallableError

__all__ = ["JobWithSuchIDDoesntExistError", "UserProvidedCallableError"]
