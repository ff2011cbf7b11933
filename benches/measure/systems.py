"""The systems that are measured against each other, each as a function from texts to an outcome.

Of every system loading and warm-up are left out. The peers see to it themselves. nerd is a program that has no such mark, so it
runs twice: on the first articles alone, and on all of them; the difference is time for the articles between, at full speed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .cluster import Cluster
from .places import OUT, PEERS, RUST_BERT
from .program import Failed, Run, run
from .texts import Data, Texts


@dataclass(frozen=True)
class Outcome:
    """One measurement of a system."""

    words: int
    seconds: float
    #: Highest resident memory of all its processes together, loading included.
    peak_rss_bytes: int
    #: Share of the machine that others took meanwhile.
    others: float
    settings: dict

    @property
    def words_per_second(self) -> float:
        return self.words / self.seconds


@dataclass(frozen=True)
class System:
    """A system by its name in the report."""

    title: str
    measure: Callable[[], Outcome]


def peer(script: str, texts: Texts, settings: dict | None = None, **extra: object) -> Outcome:
    """One of the programs in `benches/peers`."""
    command: list[str | Path] = [sys.executable, PEERS / script, "--data", texts.path]
    for name, value in ((settings or {}) | extra).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return _reported(run(command))


def best_settings(script: str, texts: Texts, **extra: object) -> dict:
    """What is fastest on these texts, of all that the program tries."""
    command: list[str | Path] = [sys.executable, PEERS / script, "--data", texts.path, "--search"]
    for name, value in extra.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return json.loads(run(command).output.splitlines()[-1])["settings"]


def rust_bert(texts: Texts) -> Outcome:
    """rust-bert's own predict; the cutting into slices is not in its time."""
    slices = OUT / "texts" / "slices.jsonl"
    slices.write_text(run([sys.executable, PEERS / "slices.py", "--data", texts.path]).output, encoding="utf-8")
    return _reported(run([RUST_BERT, "--data", slices]))


def annotate(nerd: Path, data: Data, *settings: str) -> Outcome:
    """`nerd annotate`, default settings but for those given."""
    command = [nerd, "annotate", "--input", "jsonl", "--log-level", "warn"]
    for setting in settings:
        command += ["--set", setting]
    warm = run([*command, data.warm.path], discard=True)
    return _difference(data, warm, run([*command, data.all.path], discard=True), list(settings))


def extract(nerd: Path, data: Data, cluster: Cluster) -> Outcome:
    """`nerd extract`: the same texts from PostgreSQL, their rows back into it, with the durability that it has by default."""
    runs = []
    for template in ("bench_warm", "bench_all"):
        url = cluster.create("bench_run", template)
        runs.append(run([nerd, "extract", "--log-level", "warn"], DATABASE_URL=url))
    return _difference(data, *runs, [])


def _difference(data: Data, warm: Run, full: Run, settings: list[str]) -> Outcome:
    words, seconds = data.all.words - data.warm.words, full.seconds - warm.seconds
    if words <= 0 or seconds <= 0:
        raise Failed(f"more than {len(data.warm.articles)} articles and a quieter machine are needed to measure nerd")
    return Outcome(words, seconds, full.peak_rss_bytes, max(warm.others, full.others), {"set": settings, "load_and_warm_up": warm.seconds})


def _reported(done: Run) -> Outcome:
    report = json.loads(done.output.splitlines()[-1])
    return Outcome(report["words"], report["seconds"], done.peak_rss_bytes, done.others, report["settings"])
