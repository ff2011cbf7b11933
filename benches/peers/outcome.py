"""What a measured system reports: one JSON object on standard output."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import articles as corpus


@dataclass
class Outcome:
    """One measurement. Loading and warm-up are not in `seconds`."""

    system: str
    articles: int
    words: int
    seconds: float
    #: Processor time of all threads and processes within `seconds`: where it falls short of cores times seconds, the system waited
    #: or something else ran.
    cpu_seconds: float
    load_seconds: float
    #: Resident memory at its highest, over all processes of the system.
    peak_rss_bytes: int
    settings: dict
    wordpieces: int | None = None
    words_per_second: float = field(init=False)

    def __post_init__(self) -> None:
        self.words_per_second = self.words / self.seconds

    def print(self) -> None:
        print(json.dumps(asdict(self)))


def peak_rss() -> int:
    """This process's own `VmHWM`, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not report VmHWM")


def arguments(description: str) -> argparse.ArgumentParser:
    """The arguments that every peer has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory of .txt files, or JSON lines of {id, text}")
    parser.add_argument("--limit", type=int, default=0, help="articles, evenly spread over the data (default: all)")
    parser.add_argument("--predictions", type=Path, help="write the entities as JSON lines, as `nerd annotate` does")
    return parser


def run(parser: argparse.ArgumentParser, measure: Callable[..., Outcome], choices: dict[str, tuple]) -> None:
    """Measures once with the given settings, or with `--search` every combination of the choices, and prints the fastest."""
    parser.add_argument("--search", action="store_true", help="try every setting, print the outcome of the fastest")
    options = parser.parse_args()
    texts = corpus.read(options.data, options.limit)
    if not options.search:
        measure(options, texts, **{name: getattr(options, name) for name in choices}).print()
        return
    best = None
    for values in itertools.product(*choices.values()):
        settings = dict(zip(choices, values))
        tried = measure(options, texts, **settings)
        print(f"{tried.words_per_second:10.0f} words/s  {settings}", file=sys.stderr)
        if best is None or tried.words_per_second > best.words_per_second:
            best = tried
    best.print()


def write_predictions(path: Path | None, texts: list[corpus.Article], entities: list[list[dict]]) -> None:
    """JSON lines that `models/recipe/evaluate.py --predictions` judges."""
    if path:
        lines = (json.dumps({"id": text.id, "entities": found}) for text, found in zip(texts, entities, strict=True))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
