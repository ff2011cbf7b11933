"""The texts of a measurement, as the files that every system reads."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from .places import PEERS, SAMPLES

sys.path.insert(0, str(PEERS))
import articles as corpus  # noqa: E402

#: Articles that are processed once more, alone: what a run on them takes is subtracted, and with it loading and warm-up.
WARM_UP_ARTICLES = 128
#: How often the sample articles are repeated where no other data is given.
SAMPLE_COPIES = 24


@dataclass(frozen=True)
class Texts:
    """A file of JSON lines `{"id", "text"}`."""

    path: Path
    articles: list[corpus.Article]

    @property
    def words(self) -> int:
        return corpus.count_words(self.articles)

    @classmethod
    def write(cls, path: Path, articles: list[corpus.Article]) -> Texts:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps({"id": article.id, "text": article.text}, ensure_ascii=False) for article in articles)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return cls(path, articles)


@dataclass(frozen=True)
class Data:
    """The texts, and the tagged corpus they belong to if there is one."""

    all: Texts
    #: The first articles of `all`.
    warm: Texts
    #: Every fourth, for systems that would take minutes.
    fourth: Texts
    #: A few, for the slowest.
    few: Texts
    #: A directory with `train` and `dev`.
    corpus: Path | None


def prepare(source: Path | None, out: Path, limit: int) -> Data:
    """Reads a directory of texts, a file of JSON lines or a corpus (`raw`, `train`, `dev`); without one, the sample articles."""
    tagged = source if source and (source / "train").is_dir() and (source / "dev").is_dir() else None
    if source:
        articles = corpus.read(source / "raw" if tagged else source, limit)
    else:
        samples = corpus.read(SAMPLES)
        articles = [corpus.Article(f"{copy}-{one.id}", one.text) for copy in range(SAMPLE_COPIES) for one in samples][: limit or None]
    few = articles[:: max(1, len(articles) // 12)][:12]
    return Data(
        all=Texts.write(out / "all.jsonl", articles),
        warm=Texts.write(out / "warm.jsonl", articles[:WARM_UP_ARTICLES]),
        fourth=Texts.write(out / "fourth.jsonl", articles[::4]),
        few=Texts.write(out / "few.jsonl", few),
        corpus=tagged,
    )
