"""The plain design, as a yardstick: FastAPI + Celery + Redis + SQLAlchemy as their own tutorials put them together.

A submission is one Celery message that carries the inputs; the worker scores them, stores them by the ORM in one
commit, and returns the scores to the result backend. It has Millrace's API, model and servers. What it does not
have: a 202 that means durable, and any of the other promises of docs/explanation/guarantees.md.
"""
