"""A task's way leads through few files: whoever follows it can keep them in mind."""

from pathlib import Path

from tests.path_files import counted, measure

MOST = 33


def test_a_prediction_crosses_few_files(database_url: str, redis_url: str, tmp_path: Path) -> None:
    crossed = measure(database_url, redis_url, tmp_path)
    files = counted(crossed)
    assert all(any(file.startswith(room) for file in files) for room in ("handler/", "store/", "worker/")), crossed
    assert len(files) <= MOST, crossed
