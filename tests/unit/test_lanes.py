"""Clients take turns: which lane a task goes to, and which lane is next."""

from uuid import UUID

from uuid_utils.compat import uuid7

from broker.lanes import FRONT_SHARE, HEAD_START, MOST, ClientLanes, Sharer, Turns
from broker.message import LANES, MAX_TASKS, Lane

MODEL, CHUNK = "m", 100


def lanes() -> ClientLanes:
    return ClientLanes(lambda _: (CHUNK, 60))


def of(client: str | None, job: UUID | None = None, priority: int = 1) -> Sharer:
    return Sharer(MODEL, priority, client, job)


class TestLanesOfClients:
    def test_a_client_of_which_little_waits_is_in_front_and_one_of_which_much_waits_is_behind(self) -> None:
        known = lanes()
        chosen = [known.choose(uuid7(), of("heavy"), 20).lane for _ in range(5)]
        assert chosen[:2] == [0, 0]
        assert set(chosen[2:]) == {chosen[2]}
        assert chosen[2] > 0
        assert known.choose(uuid7(), of("light"), 20).lane == 0

    def test_many_small_tasks_are_much(self) -> None:
        known = ClientLanes(lambda _: (10_000, 60))
        chosen = [known.choose(uuid7(), of("heavy"), 1).lane for _ in range(MAX_TASKS)]
        assert not any(chosen[: MAX_TASKS // 2])
        assert all(chosen[MAX_TASKS // 2 :])

    def test_a_large_task_is_behind_and_a_single_input_in_front_however_small_chunks_are(self) -> None:
        assert lanes().choose(uuid7(), of("heavy"), CHUNK).lane > 0
        assert ClientLanes(lambda _: (1, 60)).choose(uuid7(), of("light"), 1).lane == 0

    def test_who_is_behind_comes_back_to_the_front_when_nothing_of_it_waits(self) -> None:
        known, ids = lanes(), [uuid7() for _ in range(3)]
        behind = [known.choose(task_id, of("a"), CHUNK).lane for task_id in ids][-1]
        known.ended([str(task_id) for task_id in ids[:2]])
        last = uuid7()
        assert known.choose(last, of("a"), 1).lane == behind, "or it would overtake its own task"
        known.ended([str(ids[2]), str(last), "of another handler"])
        assert known.choose(uuid7(), of("a"), 1).lane == 0

    def test_clients_that_are_behind_have_lanes_of_their_own_as_long_as_there_are_some(self) -> None:
        known = lanes()
        chosen = [known.choose(uuid7(), of(str(name)), CHUNK).lane for name in range(2 * (LANES - 1))]
        assert sorted(chosen[: LANES - 1]) == list(range(1, LANES))
        assert sorted(chosen[LANES - 1 :]) == list(range(1, LANES))

    def test_a_client_has_no_more_lanes_by_more_jobs_and_without_clients_jobs_have_their_own(self) -> None:
        def behind(client: str | None) -> set[int]:
            known, jobs = lanes(), [uuid7() for _ in range(3)]
            return {known.choose(uuid7(), of(client, job), CHUNK).lane for job in jobs}

        assert len(behind("a")) == 1
        assert len(behind(None)) == LANES - 1

    def test_a_job_leaves_its_clients_single_tasks_in_front(self) -> None:
        known, job = lanes(), uuid7()
        for _ in range(5):
            known.choose(uuid7(), of("a", job), CHUNK)
        assert known.choose(uuid7(), of("a"), 1).lane == 0

    def test_what_ended_unheard_is_forgotten_when_nothing_waits_there(self) -> None:
        known = lanes()
        for priority in (1, 2):
            for _ in range(3):
                known.choose(uuid7(), of("a", priority=priority), CHUNK)
        known.forget_but({(MODEL, 2): "whatever waits"})
        assert known.choose(uuid7(), of("a"), 1).lane == 0
        assert known.choose(uuid7(), of("a", priority=2), 1).lane > 0

    def test_a_task_that_is_replayed_counts_once(self) -> None:
        known, task_id = lanes(), uuid7()
        for _ in range(3):
            known.choose(task_id, of("a"), CHUNK)
        known.ended([str(task_id)])
        assert known.choose(uuid7(), of("a"), 1).lane == 0

    def test_memory_is_bounded(self) -> None:
        known = lanes()
        for number in range(MOST + 10):
            known.choose(uuid7(), of(str(number)), 1)
        assert len(known._tasks) == len(known._shares) == MOST


class TestTurns:
    def test_lanes_take_turns_by_inputs(self) -> None:
        """One has messages of a third of a chunk, another of a whole one, and the front of a sixth."""
        turns, sizes = Turns(), {0: 1 / 6, 1: 1 / 3, 2: 1.0}
        served = dict.fromkeys(sizes, 0.0)
        for _ in range(2_000):
            lane = next(lane for lane in turns.order("q", 1) if lane in sizes)
            turns.taken("q", Lane(1, lane), sizes[lane])
            served[lane] += sizes[lane]
        assert abs(served[1] - served[2]) <= 1
        assert abs(served[0] - FRONT_SHARE * served[1]) <= FRONT_SHARE * (1 + HEAD_START)

    def test_what_comes_to_the_front_is_next(self) -> None:
        turns = Turns()
        for lane in (1, 2, 3) * 10:
            turns.taken("q", Lane(1, lane), 1)
            assert turns.order("q", 1)[0] == 0

    def test_one_that_was_empty_is_next_and_saves_up_no_turns(self) -> None:
        turns = Turns()
        for _ in range(100):
            turns.taken("q", Lane(1, 1), 1)
        assert turns.order("q", 1).index(2) < turns.order("q", 1).index(1)
        taken = []
        for _ in range(10):
            lane = next(lane for lane in turns.order("q", 1) if lane in (1, 2))
            turns.taken("q", Lane(1, lane), 1)
            taken.append(lane)
        assert taken.count(2) in (5, 6)

    def test_priorities_and_queues_have_turns_of_their_own(self) -> None:
        turns = Turns()
        turns.taken("q", Lane(1, 1), 1)
        assert turns.order("q", 1) == [0, 2, 3, 1]
        assert turns.order("q", 2) == turns.order("p", 1) == [0, 1, 2, 3]
