"""A migration that has landed stays as it is: databases have run it, and would never run the change."""

import hashlib

from migrations.revisions import ROOM

FOLDER = ROOM / "versions"
LINES = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
LANDED = {name: digest for digest, name in (line.split() for line in LINES if not line.startswith("#"))}


def test_no_migration_was_changed_after_it_landed() -> None:
    there = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in FOLDER.glob("*.py")}
    there.pop("__init__.py", None)
    new = there.keys() - LANDED.keys()
    assert not new, f"add a line to migrations/versions/SHA256SUMS, as its head says, for {sorted(new)}"
    changed = sorted(name for name, digest in LANDED.items() if there.get(name) != digest)
    assert not changed, f"{changed} has landed as another file: put it back, and write a new migration"
