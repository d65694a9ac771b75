"""Where exported days lie: a folder or a bucket, given by its URL.

`<url>/model=<model>/day=<YYYY-MM-DD>/` holds `predictions.parquet` and, while it describes that file, `_manifest.json`.
A file appears whole or not at all. Names that begin with a dot are files that a killed run has left unfinished.
"""

import re
from datetime import date

from blobs.files import BlobStore

PREDICTIONS, MANIFEST = "predictions.parquet", "_manifest.json"
"""Readers of folders (pandas, Spark, Athena) leave out names that begin with an underscore."""

_DAY = re.compile(rf"/day=(\d{{4}}-\d\d-\d\d)/({re.escape(PREDICTIONS)}|{re.escape(MANIFEST)})$")


class Storage(BlobStore):
    """The files of one export."""

    def path(self, model: str, day: date, name: str) -> str:
        return f"{self._root}/model={model}/day={day.isoformat()}/{name}"

    def sizes(self, model: str) -> dict[date, dict[str, int]]:
        """Return by day the bytes of each file that is there."""
        found: dict[date, dict[str, int]] = {}
        try:
            files = self._fs.find(f"{self._root}/model={model}", detail=True)
        except FileNotFoundError:
            return found
        for path, info in files.items():
            if match := _DAY.search(path):
                found.setdefault(date.fromisoformat(match[1]), {})[match[2]] = info["size"]
        return found
