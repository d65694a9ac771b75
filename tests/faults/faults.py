"""The faults, by name. Each is a function that lets it begin, last, and end."""

import random
from collections.abc import Callable

from tests.faults import program_faults, server_faults
from tests.faults.site import Site

Fault = Callable[[Site, random.Random], None]

FAULTS: dict[str, Fault] = {
    "worker process killed": program_faults.kill_a_worker_process,
    "worker processes killed in a row": program_faults.kill_worker_processes_in_a_row,
    "worker killed": program_faults.kill_a_worker,
    "worker stopped": program_faults.stop_a_worker_gracefully,
    "worker frozen past its lease": program_faults.freeze_a_worker,
    "handler killed": program_faults.kill_a_handler,
    "answers to clients lost": program_faults.lose_answers,
    "rescue killed": program_faults.kill_rescue,
    "rescue frozen": program_faults.freeze_rescue,
    "clocks stepped": program_faults.step_clocks,
    "Redis flushed": server_faults.flush_redis,
    "Redis killed, back empty": server_faults.restart_redis_empty,
    "Redis frozen": server_faults.freeze_redis,
    "messages doubled and shuffled": server_faults.duplicate_and_reorder_messages,
    "Redis full": server_faults.fill_redis,
    "garbage in the queue": server_faults.send_garbage,
    "Postgres stopped at once, restarted": server_faults.restart_postgres_at_once,
    "Postgres killed, restarted": server_faults.kill_postgres,
    "Postgres sessions ended": server_faults.end_sessions,
    "connections to Postgres cut": lambda site, chance: server_faults.cut(site.to_postgres, chance),
    "connections to Postgres slow": lambda site, chance: server_faults.delay(site.to_postgres, chance),
    "connections to Postgres reset": lambda site, chance: server_faults.reset(site.to_postgres, chance),
    "connections to Postgres silent": lambda site, chance: server_faults.silence(site.to_postgres, chance),
    "connections to Redis cut": lambda site, chance: server_faults.cut(site.to_redis, chance),
    "connections to Redis slow": lambda site, chance: server_faults.delay(site.to_redis, chance),
    "connections to Redis reset": lambda site, chance: server_faults.reset(site.to_redis, chance),
    "connections to Redis silent": lambda site, chance: server_faults.silence(site.to_redis, chance),
}

POOLED = [
    fault
    for fault in FAULTS
    if "Redis" not in fault
    and "rescue" not in fault
    and fault not in ("messages doubled and shuffled", "garbage in the queue")
]
"""Those that can befall ENGINE=pool. A worker killed is a handler killed there, with its processes."""
