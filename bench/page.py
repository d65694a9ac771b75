"""A run as one HTML page that needs nothing else: no script, no other host."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from bench.plots import draw
from bench.result import NAMES, SERIES

LONG = 30  # characters; what is longer is prose and begins on the left

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem }
p { margin: .3rem 0 } .quiet { color: #616e7c }
.note { background: #fef3c7; border-left: 4px solid #d97706; padding: .5rem .8rem; margin: .8rem 0 }
.numbers { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0 }
.numbers div { background: #f5f7fa; border-radius: 6px; padding: .5rem .9rem; min-width: 6.5rem }
.numbers b { display: block; font-size: 1.35rem; font-weight: 600 } .bad b { color: #be123c }
table { border-collapse: collapse; width: 100% } th { color: #616e7c; font-weight: 500; text-align: right }
td, th { padding: .25rem .6rem; border-bottom: 1px solid #e4e7eb } td { text-align: right }
td:first-child, th:first-child { text-align: left } td.long, th.long { text-align: left }
svg { width: 100%; height: auto } svg text { font-family: system-ui, sans-serif }
"""


def page(run: Mapping[str, Any]) -> str:
    """Return the page of a run's document."""
    counts, throughput = run["counts"], run["throughput"]
    numbers = [
        ("requests", counts["requests"], False),
        ("accepted", counts["accepted"], False),
        ("refused", counts["refused"], False),
        ("failed", counts["failed"], counts["failed"] > 0),
        ("inputs", counts["inputs"], False),
        ("accepted/s", throughput["accepted_per_s"], False),
        ("inputs scored/s", throughput["inputs_scored_per_s"], False),
        ("accepted, then lost", counts["lost"], bool(counts["lost"])),
    ]
    latencies = [
        [f"{name.replace('_', ' ')}", *(_ms(figures[point]) for point in NAMES), f"{figures['count']:,}", SERIES[name]]
        for name, figures in run["latency_ms"].items()
    ]
    processes = [[name, f"{u['cpu_seconds']:.2f}", f"{u['peak_mb']:,.0f}"] for name, u in run["processes"].items()]
    generator = run["generator"]
    late = generator["late_ms"]
    parts = [
        f"<h1>{escape(run['title'])}</h1>",
        f'<p class="quiet">{escape(_made(run["schedule"]))}</p>',
        *(f'<p class="note">{escape(note)}</p>' for note in generator["notes"]),
        '<div class="numbers">',
        *(
            f'<div class="{"bad" if bad else ""}"><b>{round(value):,}</b>{escape(name)}</div>'
            for name, value, bad in numbers
            if value is not None
        ),
        "</div>",
        *([f"<p>Not accepted: {escape(_causes(counts['causes']))}</p>"] if counts["causes"] else []),
        "<h2>Latency in milliseconds</h2>",
        _table(["", *NAMES, "count", "what it is, from when until when"], latencies),
        *(f"<h2>{escape(heading)}</h2>\n{svg}" for heading, svg in draw(run).items()),
        "<h2>What it took</h2>" if processes else "",
        _table(["program, with its children", "CPU seconds", "peak memory, MB"], processes) if processes else "",
        f'<p class="quiet">The generator took {generator["cpu_seconds"]:.2f} s of CPU '
        f"({generator['cores']:.0%} of a core) on up to {generator['connections']} connections"
        + (f"; 99 % of the requests went out within {late['p99']:.1f} ms of their time.</p>" if late else ".</p>"),
    ]
    head = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(run["title"])}</title>'
    return f"{head}\n<style>{STYLE}</style>\n" + "\n".join(filter(None, parts)) + "\n</html>\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"<tr>{''.join(_cell('th', cell) for cell in head)}</tr>"]
    for row in rows:
        cells = (f"<td{' class=long' if len(cell) > 30 else ''}>{escape(cell)}</td>" for cell in row)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _cell(tag: str, text: str) -> str:
    return f"<{tag}{' class=long' if len(text) > LONG else ''}>{escape(text)}</{tag}>"


def _ms(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _made(schedule: Mapping[str, Any]) -> str:
    loop = "Open loop: sent when due" if schedule["open_loop"] else "Closed loop: sent when the last answer came back"
    mix = schedule.get("mix")
    parts = [loop, f"{schedule['seconds']:g} s"]
    if mix:
        total = sum(weight for _, _, weight in mix)
        parts.append(", ".join(f"{weight / total:.0%} {kind} of {size}" for kind, size, weight in mix))
    if "seed" in schedule:
        parts.append(f"seed {schedule['seed']}")
    return " · ".join(parts)


def _causes(causes: Sequence[Sequence[Any]]) -> str:
    return ", ".join(f"{cause}: {count:,}" for cause, count in causes)
