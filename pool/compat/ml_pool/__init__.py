"""The import path of the public package, for code written for it: put `pool/compat` on PYTHONPATH."""

from pool.mlpool import MLPool

__all__ = ["MLPool"]
