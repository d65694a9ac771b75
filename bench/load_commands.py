"""`millrace bench run`, `saturate` and `published`: put a load on a platform and write the report."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench import executor, outcome, schedule, shapes
from bench.connection import LoadTarget
from bench.executor import Run
from bench.page import page
from bench.processes import Watch
from bench.published import presets
from bench.result import NAMES, result
from bench.schedule_commands import FILE, PartType, save, told
from bench.site import Servers, Site, millrace, servers

LoadOptions = Callable[[Callable[..., None]], Callable[..., None]]


class PidType(click.ParamType[tuple[str, int]]):
    name = "NAME=PID"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[str, int]:
        name, _, pid = str(value).partition("=")
        if not (name and pid.isdigit()):
            self.fail(f"{value!r} is not like worker=1234")
        return name, int(pid)


TIMEOUT = click.option("--timeout", default=30.0, show_default=True, help="seconds that a request may take")


def on_a_platform(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where the load goes."""
    options: list[LoadOptions] = [
        click.option("--url", default="http://127.0.0.1:8081", show_default=True, help="of the platform"),
        click.option("--start", is_flag=True, help="start a platform for this run, on servers of its own"),
        click.option("--key", envvar="MILLRACE_KEY", help="API key, where one is needed (or MILLRACE_KEY)"),
        click.option("--settle", default=30.0, show_default=True, help="seconds to wait for what is left to score"),
        click.option("--pid", "pids", type=PidType(), multiple=True, help="a program to watch, on this machine"),
        click.option("-o", "--out", type=click.Path(path_type=Path), help="folder for the report: run.json, run.html"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("run")
@click.argument("file", metavar="SCHEDULE", type=FILE)
@TIMEOUT
@click.option("--connections", default=1000, show_default=True, help="at most")
@on_a_platform
def run_schedule(file: Path, connections: int, timeout: float, **where: Any) -> None:
    """Play a SCHEDULE (open loop: requests go out when they are due) and write the report."""
    with told():
        made = schedule.load(file)
        _put_load(
            lambda target: executor.play(made, target, connections=connections, timeout=timeout), made.made, **where
        )


@click.command()
@click.option("--kind", "part", type=PartType(), default="submit", help="KIND[:INPUTS]")
@click.option("--connections", default=32, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--requests", type=int, help="stop after so many")
@TIMEOUT
@on_a_platform
def saturate(
    part: shapes.SchedulePart, connections: int, seconds: float, requests: int | None, timeout: float, **where: Any
) -> None:
    """Keep connections busy with one kind of request (closed loop) and write the report."""

    def load(target: LoadTarget) -> Run:
        size = part.size
        return executor.saturate(
            target, part.kind, size, connections=connections, seconds=seconds, requests=requests, timeout=timeout
        )

    with told():
        _put_load(load, {}, **where)


def _put_load(
    load: Callable[[LoadTarget], Run],
    made: Mapping[str, Any],
    *,
    url: str,
    start: bool,
    key: str | None,
    settle: float,
    pids: tuple[tuple[str, int], ...],
    out: Path | None,
    starter: Callable[[Servers], AbstractContextManager[Site]] = lambda servers: millrace(servers, "bench"),
    title: str | None = None,
) -> None:
    if out is None:
        raise click.UsageError("say with -o in which folder to leave the report")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    if start:
        with servers() as own, starter(own) as site:
            measured = _measure(load, site.target, settle, site.pids, made)
    else:
        measured = _measure(load, LoadTarget.of(url, headers), settle, dict(pids), made)
    measured["title"] = title or measured["title"]
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").write_text(json.dumps(measured), encoding="utf-8")
    (out / "run.html").write_text(page(measured), encoding="utf-8")
    _print(measured)
    click.echo(f"{out}/run.html, {out}/run.json")


def _measure(
    load: Callable[[LoadTarget], Run],
    target: LoadTarget,
    settle: float,
    pids: Mapping[str, int],
    made: Mapping[str, Any],
) -> dict[str, Any]:
    try:
        marker = outcome.newest(target)
    except outcome.Unreadable as error:
        click.echo(f"No figures about tasks: {error}", err=True)
        with Watch(pids) as watch:
            run = load(target)
        return result(run, None, watch.usage, made)
    with Watch(pids) as watch:
        run = load(target)
        tasks = outcome.since(target, marker, settle)
    return result(run, tasks, watch.usage, made)


@click.command("published")
@click.argument("name", required=False)
@click.option("--save", "saved", type=click.Path(path_type=Path), help="write the schedule to this file instead")
@on_a_platform
def run_published(name: str | None, saved: Path | None, **where: Any) -> None:
    """Run a load that a comparable service was published with. Without a NAME, list them."""
    known = presets()
    if name is None:
        for each, preset in known.items():
            click.echo(f"{each:22} {preset.title}")
        return
    if name not in known:
        raise click.UsageError(f"there is no {name!r}; `millrace bench published` lists what there is")
    preset = known[name]
    with told():
        if saved is not None and preset.schedule is not None:
            save(preset.schedule, saved)
        else:
            made = preset.schedule.made if preset.schedule else {}
            _put_load(preset.load, made, starter=preset.start, title=preset.title, **where)


def _print(measured: Mapping[str, Any]) -> None:
    counts, throughput = measured["counts"], measured["throughput"]
    click.echo(
        f"{measured['title']}\n{counts['requests']:,} requests: {counts['accepted']:,} accepted, "
        f"{counts['refused']:,} refused, {counts['failed']:,} failed; {throughput['accepted_per_s']:,.0f} accepted/s"
        + (f", {scored:,.0f} inputs scored/s" if (scored := throughput["inputs_scored_per_s"]) else "")
    )
    table = Table("ms", *NAMES, box=None)
    for name, figures in measured["latency_ms"].items():
        table.add_row(name.replace("_", " "), *(f"{figures[point]:,.1f}" for point in NAMES))
    for column in table.columns[1:]:
        column.justify = "right"
    Console(highlight=False).print(table)
    for note in measured["generator"]["notes"]:
        click.echo(note, err=True)
