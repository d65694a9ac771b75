"""What can become of a job, a worker or a pool."""


class PoolError(Exception):
    """Every error of the pool itself; what the user's code raises is passed on as it is."""


class PoolFull(PoolError):
    """As many jobs wait as may, and none was taken in the time that the caller would wait."""


class PoolClosed(PoolError):
    """The pool takes no more jobs, or ended before this one did."""


class LoadFailed(PoolError):
    """A model did not load; the cause is what its `load` raised in the worker, with the traceback."""


class WorkerLost(PoolError):
    """The process that ran the job died: killed, out of memory, or by its own `os._exit`."""


class JobTimeout(PoolError, TimeoutError):
    """The job ran longer than it may; it was ended with its process."""


class ScoreFailed(PoolError):
    """What `score` raised cannot leave the worker: it is no Exception, or no pickle. The cause has its traceback."""


class WorkerTraceback(Exception):
    """The traceback of an error, as text from the process where it was raised."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"
