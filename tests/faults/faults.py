"""The faults, by name. Each is a function that lets it begin, last, and end."""

import random
from collections.abc import Callable

from tests.faults import database_faults, message_faults, model_faults, program_faults, server_faults
from tests.faults.site import Site

Fault = Callable[[Site, random.Random], None]

FAULTS: dict[str, Fault] = {
    "worker process killed": program_faults.kill_a_worker_process,
    "worker processes killed in a row": program_faults.kill_worker_processes_in_a_row,
    "promotion, worker processes killed": model_faults.kill_a_worker_process_in_a_promotion,
    "promotion, Redis flushed": model_faults.flush_redis_in_a_promotion,
    "worker killed": program_faults.kill_a_worker,
    "worker stopped": program_faults.stop_a_worker_gracefully,
    "worker frozen past its lease": program_faults.freeze_a_worker,
    "handler killed": program_faults.kill_a_handler,
    "handler frozen": program_faults.freeze_a_handler,
    "answers to clients lost": program_faults.lose_answers,
    "rescue killed": program_faults.kill_rescue,
    "rescue frozen": program_faults.freeze_rescue,
    "webhooks killed": program_faults.kill_webhooks,
    "webhooks frozen": program_faults.freeze_webhooks,
    "callbacks refused": program_faults.refuse_callbacks,
    "clocks stepped": program_faults.step_clocks,
    "release before beside this one": program_faults.run_the_release_before,
    "Redis flushed": server_faults.flush_redis,
    "Redis killed, back empty": server_faults.restart_redis_empty,
    "Redis frozen": server_faults.freeze_redis,
    "Redis full": server_faults.fill_redis,
    "Redis with another password": server_faults.change_redis_password,
    "Redis with other types": message_faults.change_types,
    "messages doubled and shuffled": message_faults.duplicate_and_reorder,
    "garbage in the queue": message_faults.send_garbage,
    "lies in messages": message_faults.send_lies,
    "Postgres stopped at once, restarted": database_faults.restart_at_once,
    "Postgres killed, restarted": database_faults.kill,
    "Postgres failed over, synchronous": database_faults.fail_over_to_a_synchronous_standby,
    "Postgres sessions ended": database_faults.end_sessions,
    "Postgres refuses log-ins": database_faults.refuse_log_ins,
    "Postgres with another password": database_faults.change_the_password,
    "Postgres has too many connections": database_faults.have_too_many_connections,
    "Postgres read-only": database_faults.be_read_only,
    "Postgres times statements out": database_faults.time_statements_out,
    "table locked": database_faults.lock_a_table,
    "tables altered": database_faults.alter_tables,
    "tables rewritten": database_faults.rewrite_tables,
    "backend frozen": database_faults.freeze_a_backend,
    "connections to Postgres cut": lambda site, chance: server_faults.cut(site.to_postgres, chance),
    "connections to Postgres slow": lambda site, chance: server_faults.delay(site.to_postgres, chance),
    "connections to Postgres reset": lambda site, chance: server_faults.reset(site.to_postgres, chance),
    "connections to Postgres silent": lambda site, chance: server_faults.silence(site.to_postgres, chance),
    "connections to Redis cut": lambda site, chance: server_faults.cut(site.to_redis, chance),
    "connections to Redis slow": lambda site, chance: server_faults.delay(site.to_redis, chance),
    "connections to Redis reset": lambda site, chance: server_faults.reset(site.to_redis, chance),
    "connections to Redis silent": lambda site, chance: server_faults.silence(site.to_redis, chance),
}

NOT_POOLED = (
    "messages doubled and shuffled",
    "garbage in the queue",
    "lies in messages",
    "release before beside this one",
)
POOLED = [
    fault
    for fault in FAULTS
    if not any(part in fault for part in ("Redis", "rescue", "webhooks")) and fault not in NOT_POOLED
]
"""Those that can befall ENGINE=pool. A worker killed is a handler killed there, with its processes."""
