"""`Config`, whose values the public package's tests set: give the pool its own instead, in its arguments."""

__all__ = ["Config"]


class Config:
    MESSAGE_QUEUE_SIZE = 100
    RESULT_TTL = 300.0
    CLEANER_THREAD_FREQUENCY = 1.0
