"""The schema as the code describes it: the platform's tables and every model's own."""

from sqlalchemy import MetaData

from serving.catalogue import specs
from store import (
    deletion_tables,
    drift_tables,
    evaluation_tables,
    job_tables,
    keys,
    model_tables,
    outcome_tables,
    rescored_tables,
    tables,
    webhook_tables,
)
from store.predictions import predictions_table

_MODULES = (
    *(tables, webhook_tables, model_tables, job_tables, keys, deletion_tables, outcome_tables, evaluation_tables),
    *(rescored_tables, drift_tables),
)
PLATFORM = next(module.metadata for module in _MODULES)
"""Each of these modules adds its tables to it when it is imported."""


def schema() -> MetaData:
    """Return every table that should exist."""
    metadata = MetaData(naming_convention=PLATFORM.naming_convention)
    for table in PLATFORM.sorted_tables:
        table.to_metadata(metadata)
    for spec in specs().values():
        predictions_table(
            *(spec.table, spec.stored_columns, metadata, spec.personal),
            key=spec.key,
            comments=spec.comments,
            comment=f"{spec.title}: a row for each input, with its output; task_id is tasks.id",
        )
    return metadata
