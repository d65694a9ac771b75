"""Scores models in processes beside this one: loaded once in each, faults contained. Usable on its own."""

from pool.errors import (
    JobTimeout,
    LoadFailed,
    PoolClosed,
    PoolError,
    PoolFull,
    ScoreFailed,
    WorkerLost,
    WorkerTraceback,
)
from pool.job import Job
from pool.pool import ModelPool
from pool.process import Model

__all__ = [
    "Job",
    "JobTimeout",
    "LoadFailed",
    "Model",
    "ModelPool",
    "PoolClosed",
    "PoolError",
    "PoolFull",
    "ScoreFailed",
    "WorkerLost",
    "WorkerTraceback",
]
