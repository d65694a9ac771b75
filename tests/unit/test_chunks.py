"""Which tasks share a message: small ones of one model and priority, as many as the model scores in seconds."""

import pytest
from uuid_utils.compat import uuid7

from broker.message import MAX_TASKS, QueuedTask, messages
from serving.catalogue import bounds, specs

MODELS = sorted(specs())


def sizes(tasks: list[QueuedTask]) -> list[int]:
    return [len(chunk.task_ids) for _, _, chunk in messages(tasks, bounds, alone=False)]


@pytest.mark.parametrize("model", MODELS)
def test_a_message_holds_no_more_inputs_than_its_model_takes_at_once(model: str) -> None:
    most, _ = bounds(model)
    many = [QueuedTask(uuid7(), model, 1, 1)] * (2 * most)
    assert sum(sizes(many)) == 2 * most
    assert max(sizes(many)) == min(most, MAX_TASKS)
    assert sizes([QueuedTask(uuid7(), model, most // 2, 1)] * 3) == [2, 1]


@pytest.mark.parametrize("model", MODELS)
def test_a_task_that_has_more_goes_alone(model: str) -> None:
    most, _ = bounds(model)
    assert sizes([QueuedTask(uuid7(), model, n_inputs, 1) for n_inputs in (1, most + 1, 1)]) == [1, 1, 1]
