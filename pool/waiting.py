"""The jobs that no worker has taken yet, and those for which there is no room among them."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from pool.job import Job


class WaitingJobs:
    """First come, first served; its owner holds a lock around every call."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._jobs: OrderedDict[Job, None] = OrderedDict()
        self._outside: OrderedDict[Job, Future[None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> Future[None] | None:
        """Add the job at the end; without room, return the future of its place."""
        if len(self._jobs) < self._room:
            self._jobs[job] = None
            return None
        return self._outside.setdefault(job, Future())

    def take(self, most: int, fits: Callable[[Job], bool]) -> list[Job]:
        """Take the oldest job, and those behind it for as long as they fit: each is asked about once, the first too."""
        taken: list[Job] = []
        while self._jobs and len(taken) < most:
            job = next(iter(self._jobs))
            if not fits(job) and taken:
                break
            self._jobs.popitem(last=False)
            taken.append(job)
        self._admit()
        return taken

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Put jobs that were taken where they were, in front of all others, room or not."""
        for job in reversed(list(jobs)):
            self._jobs[job] = None
            self._jobs.move_to_end(job, last=False)

    def remove(self, job: Job) -> bool:
        """Remove the job; False when it is not, or no longer, among those that wait."""
        if job in self._jobs:
            del self._jobs[job]
            self._admit()
            return True
        return self._outside.pop(job, None) is not None

    def turn_away(self, error: Exception) -> None:
        """Let nobody wait for room any longer."""
        while self._outside:
            self._outside.popitem()[1].set_exception(error)

    def clear(self) -> list[Job]:
        jobs = list(self._jobs)
        self._jobs.clear()
        return jobs

    def _admit(self) -> None:
        while self._outside and len(self._jobs) < self._room:
            job, place = self._outside.popitem(last=False)
            self._jobs[job] = None
            place.set_result(None)
