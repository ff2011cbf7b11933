"""Measurements other than words per second: accuracy, memory, start, padding, claims, round trips, the share of the peak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from . import memory
from .cluster import Cluster
from .console import say
from .daemon import Daemon, total
from .places import OUT, PEAK, PEERS, RECIPE, ROOT
from .program import run
from .relay import Relay
from .texts import Data, Texts

MEGABYTE = 1e6
STARTS = 5


def accuracy(nerd: Path, corpus: Path, fast: bool) -> dict[str, float]:
    """Span F1 on the dev part, the whole way as `nerd annotate` goes it; of spaCy too, if the fast profile is asked for."""
    dev = corpus / "dev"
    texts = OUT / "texts" / "dev.jsonl"
    texts.parent.mkdir(parents=True, exist_ok=True)
    run([sys.executable, RECIPE / "evaluate.py", "--data", dev, "--texts", texts])
    runs = {"default": [], "f32": ["--set", "engine.precision=f32"]}
    if fast:
        runs["fast"] = ["--set", "model.profile=fast"]
    found = {}
    for name, settings in runs.items():
        predictions = OUT / f"predictions-{name}.jsonl"
        done = run([nerd, "annotate", "--input", "jsonl", "--log-level", "warn", *settings, texts])
        predictions.write_text(done.output, encoding="utf-8")
        found[name] = _f1(dev, predictions)
    if fast:
        predictions = OUT / "predictions-spacy.jsonl"
        run([sys.executable, PEERS / "spacy_cnn.py", "--data", texts, "--predictions", predictions])
        found["spacy"] = _f1(dev, predictions)
    return found


def _f1(dev: Path, predictions: Path) -> float:
    done = run([sys.executable, RECIPE / "evaluate.py", "--data", dev, "--predictions", predictions])
    micro = next(line for line in done.output.splitlines() if line.startswith("micro"))
    return float(micro.split()[3])


def daemon(nerd: Path, cluster: Cluster, texts: Texts, seconds: float) -> dict[str, float]:
    """Memory of the daemon with two workers and with four, as the system accounts for it, and the padding it computed."""
    found: dict[str, float] = {}
    for workers in (2, 4):
        url = cluster.create("bench_run", "bench_empty")
        with Daemon(nerd, url, f"engine.workers={workers}") as running:
            running.wait_ready()
            loading_peak = running.memory()["VmHWM"]
            cluster.fill(url, ((article.id, article.text) for article in texts.articles))
            metrics = running.wait_settled(len(texts.articles), seconds)
            resident = running.memory()["VmRSS"]
            found[f"resident_{workers}"] = resident / MEGABYTE
            found[f"loading_peak_{workers}"] = loading_peak / MEGABYTE
            found[f"baseline_{workers}"] = metrics["nerd_memory_baseline_bytes"] / MEGABYTE
            padding, content = (total(metrics, "nerd_tokens_total", kind=kind) for kind in ("padding", "content"))
            found["padding_percent"] = 100 * padding / (padding + content)
            running.stop()
    return found


def starts(nerd: Path, cluster: Cluster) -> list[float]:
    """Seconds from exec to `/readyz`, the weights in the page cache; the first start, which warms it, is not counted."""
    url = cluster.create("bench_run", "bench_empty")
    seconds = []
    for _ in range(STARTS + 1):
        with Daemon(nerd, url) as running:
            seconds.append(running.wait_ready())
            running.stop()
    return seconds[1:]


def round_trips(nerd: Path, cluster: Cluster, data: Data) -> tuple[float, int]:
    """Round trips an article of `nerd extract`, by a relay between it and PostgreSQL: those that all articles take more than the
    first ones do, so that checking the schema is left out, and without those that a connection makes once: as in a daemon's day.
    And how many those are, over all articles."""
    trips, asked_once = [], 0
    for template in ("bench_warm", "bench_all"):
        with Relay(cluster.create("bench_run", template)) as relay:
            run([nerd, "extract", "--log-level", "warn"], DATABASE_URL=relay.url)
            trips.append(relay.round_trips)
            asked_once = relay.asked_once
    return (trips[1] - trips[0]) / (len(data.all.articles) - len(data.warm.articles)), asked_once


def claim() -> dict:
    """The report of `make bench-claim`, which runs for minutes; it fails on plans and errors, and keeps its report."""
    return _made("bench-claim", OUT / "claim.json")[0]


def gazetteer() -> dict:
    """The report of `make bench-gazetteer`, and in `python` that of the same step in Python."""
    ours, python = _made("bench-gazetteer", OUT / "gazetteer" / "report.json", OUT / "gazetteer" / "python.json")
    return ours | {"python": python}


def _made(target: str, *reports: Path) -> list[dict]:
    """The reports that a target of the Makefile writes; it may fail for what it found."""
    for report in reports:
        report.unlink(missing_ok=True)
    # `make bench ARTICLES=400` means the texts, not the queue: its variables stay here.
    own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "ARTICLES")}
    ended = subprocess.run(["make", "--silent", target], cwd=ROOT, stdout=sys.stderr, env=own)
    for report in reports:
        if not report.exists():
            raise FileNotFoundError(f"make {target} ended with {ended.returncode} and wrote no {report.name}")
    return [json.loads(report.read_text(encoding="utf-8")) for report in reports]


def worst_claim(report: dict, source: bool) -> tuple[float, str]:
    """The highest p99 over the phases of a warm server, milliseconds, of claims of one source or of all; and a note: the size, and
    every phase's."""
    worst = max(phase["claim"]["p99_ms"] for phase in report["phases"] if phase["warm"] and (phase["phase"] == "one source") == source)
    every = ", ".join(f"{phase['phase']} {phase['claim']['p99_ms']:.1f}" for phase in report["phases"])
    return worst, f"{report['articles']:,} articles, {report['pending']:,} pending, claims of {report['limit']}: {every}"


def peak(texts: Texts) -> dict:
    """The share of the kernel's peak that the network reaches, and both in figures: `benches/peak.rs`."""
    return json.loads(run([PEAK, "--data", texts.path]).output.splitlines()[-1])
