"""Files that people call .csv and that are none: what each holds, and what it is called when it is refused."""

import gzip
import io
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd


def _workbook() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    return made.getvalue()


def _parquet() -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.table({"abuse_type": ["MSG"]}), made)
    return made.getvalue()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "a workbook": (_workbook(), "an Excel workbook (.xlsx) or another zip archive, not a text file; open it, and save"),
    "an old workbook": (
        bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500),
        "an Excel workbook of the old format (.xls), not a text file; open it, and save it as CSV",
    ),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\n", "a PDF, not a text file; export the table as CSV"),
    "a Parquet file": (_parquet(), "a Parquet file, not a text file; "),
    "a gzip file": (gzip.compress(b"abuse_type\nMSG\n"), "compressed with gzip, not a text file; "),
    "a zstd file": (zstd.compress(b"abuse_type\nMSG\n"), "compressed with zstd, not a text file; "),
}
