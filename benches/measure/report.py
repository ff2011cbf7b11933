"""The report: a table of promises, a table of systems, the conditions; as Markdown for people and JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from statistics import median

from .rounds import Rounds
from .rows import Row
from .systems import System

#: Above this share of the machine in other hands a round is called disturbed.
QUIET = 0.05


def number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    digits = 4 if unit == "" and abs(value) < 1 else 2 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}{'' if unit in ('', '×') else ' '}{unit}"


def write(out: Path, rows: list[Row], systems: dict[str, System], rounds: Rounds, facts: dict) -> Path:
    """Writes `report.md` and `report.json`; the path of the first."""
    data = facts | {
        "rows": [asdict(row) | {"verdict": row.verdict} for row in rows],
        "systems": {
            name: {"title": systems[name].title, "median_words_per_second": rounds.speed(name)}
            | {"rounds": [asdict(one) | {"words_per_second": one.words_per_second} for one in outcomes]}
            for name, outcomes in rounds.outcomes.items()
        },
        "failures": rounds.failures,
    }
    (out / "report.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    path = out / "report.md"
    path.write_text("\n".join([*_head(facts), *_promises(rows), *_systems(systems, rounds), *_notes(rounds, facts)]) + "\n", encoding="utf-8")
    return path


def _head(facts: dict) -> list[str]:
    machine = facts["machine"]
    return [
        "# Benchmarks",
        "",
        f"{facts['date']}, {machine['cores']} cores of {machine['processor']} ({', '.join(machine['instruction_sets'])}), "
        f"{machine['system']}, commit {machine['commit']}; {facts['articles']} articles, {facts['words']:,} words "
        f"({facts['source']}); {facts['rounds']} rounds. Command: `{facts['command']}`",
        "",
    ]


def _promises(rows: list[Row]) -> list[str]:
    lines = ["| promise | target | measured | lowest to highest | |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        spread = f"{number(row.spread[0], row.unit)} to {number(row.spread[1], row.unit)}" if row.spread else ""
        sign = "≥" if row.bound == ">=" else "≤"
        verdict = f"**{row.verdict}**" if row.verdict == "not met" else row.verdict
        note = f"; {row.note}" if row.note else ""
        measured = number(row.measured, row.unit)
        lines.append(f"| {row.title} | {sign} {number(row.target, row.unit)} | {measured} | {spread} | {verdict}{note} |")
    return [*lines, ""]


def _systems(systems: dict[str, System], rounds: Rounds) -> list[str]:
    if not rounds.outcomes:
        return []
    lines = ["| system | words/s, median | lowest to highest | peak memory, MB | settings |", "| --- | --- | --- | --- | --- |"]
    for name, outcomes in rounds.outcomes.items():
        speeds = [outcome.words_per_second for outcome in outcomes]
        memory = median(outcome.peak_rss_bytes for outcome in outcomes) / 1e6
        settings = ", ".join(f"{key} {value}" for key, value in outcomes[-1].settings.items() if key != "load_and_warm_up" and value != [])
        lines.append(
            f"| {systems[name].title} | {median(speeds):,.0f} | {min(speeds):,.0f} to {max(speeds):,.0f} | {memory:,.0f} | {settings} |"
        )
    return [*lines, "", "![words per second](throughput.svg)", "", "![ratios by round](ratios.svg)", "", "![peak memory](memory.svg)", ""]


def _notes(rounds: Rounds, facts: dict) -> list[str]:
    lines = [
        "A word is a whitespace-separated token with at least one letter or digit, for every system. Loading and warm-up are in no "
        "figure. Ratios are medians of the ratios within each round. Memory is the sum of resident memory over a system's processes, "
        "as the operating system accounts for it, loading included.",
    ]
    disturbed = [outcome.others for outcomes in rounds.outcomes.values() for outcome in outcomes if outcome.others > QUIET]
    if disturbed:
        lines += [
            "",
            f"**The machine was not quiet**: in {len(disturbed)} measurements something else used more than {QUIET:.0%} of it, "
            f"{max(disturbed):.0%} at the most.",
        ]
    if facts["probes"]:
        lines += ["", "```json", json.dumps(facts["probes"], indent=1), "```"]
    return lines
