"""The public package's errors. What the user's scoring function raises is passed on as it is."""

from pool.errors import LoadFailed as UserProvidedCallableFailedError
from pool.errors import PoolError as MLPoolError
from pool.errors import ScoreFailed as MLWorkerFailedBecauseOfUserProvidedCodeError
from pool.mlpool import JobWithSuchIDDoesntExistError, UserProvidedCallableError

__all__ = [
    "JobWithSuchIDDoesntExistError",
    "MLPoolError",
    "MLWorkerFailedBecauseOfUserProvidedCodeError",
    "UserProvidedCallableError",
    "UserProvidedCallableFailedError",
]
