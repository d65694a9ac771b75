"""Takes rows out of an exported day whose rows the table no longer has: retention has deleted them there."""

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet
from sqlalchemy import Connection, Engine

from export import manifest
from export.days import alone
from export.hashed import HashedFile
from export.manifest import DayManifest
from export.row_groups import COMPRESSION
from export.storage import PREDICTIONS, Storage


class NotVerified(Exception):
    """The day's file is not there, or not the one that its manifest describes."""


def erase_rows(
    connection_or_engine: Connection | Engine, url: str, model: str, day: date, column: str, value: str | int
) -> DayManifest:
    """Write the model's day anew from its own file, without the rows that have this value in this column.

    Raises NotVerified, DayBusy, KeyError where the file has no such column, and OSError or another error of the place.
    """
    storage = Storage.at(url)
    with alone(connection_or_engine, url, model, day):
        if (earlier := manifest.verified(url, model, day)) is None:
            raise NotVerified(f"{day} of {model} is not exported, or its file is not as its manifest says")
        rows = 0
        with (
            storage.open(storage.path(model, day, PREDICTIONS)) as source,
            manifest.replacing(storage, model, day) as file,
        ):
            read, hashed = parquet.ParquetFile(source), HashedFile(file)
            erased = pa.scalar(value, read.schema_arrow.field(column).type)
            with parquet.ParquetWriter(hashed, read.schema_arrow, compression=COMPRESSION) as writer:
                for number in range(read.num_row_groups):
                    group = read.read_row_group(number)
                    kept = group.filter(pc.invert(pc.fill_null(pc.equal(group[column], erased), fill_value=False)))
                    rows += kept.num_rows
                    writer.write_table(kept)
        made = replace(earlier, rows=rows, sha256=hashed.sha256, bytes=hashed.bytes)
        manifest.write(storage, made)
    return made
