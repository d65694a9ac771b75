"""A file that knows the SHA-256 and the size of what was written to it."""

import hashlib
from typing import Any, BinaryIO


class HashedFile:
    """What pyarrow writes to. Whoever opened the file below closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.bytes = 0
        self.closed = False
        """Set it, and what is still written goes nowhere."""

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def write(self, data: Any) -> int:
        content = bytes(data)
        if not self.closed:
            self._sha256.update(content)
            self.bytes += len(content)
            self._file.write(content)
        return len(content)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None: ...

    def close(self) -> None: ...
