"""The texts that every system is given, and the one way in which their words are counted."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

#: How many texts a system sees before the clock starts.
WARM_UP_ARTICLES = 24


@dataclass(frozen=True)
class Article:
    """A text and the name under which its entities are reported."""

    id: str
    text: str


def read(source: Path, limit: int = 0) -> list[Article]:
    """The articles of a directory of `.txt` files or of a file of JSON lines `{"id", "text"}`, in the order of their names.

    A first line that is an address is no part of the text. With a limit, that many are taken evenly spread over the whole.
    """
    if source.is_dir():
        articles = [Article(path.stem, _body(path.read_text(encoding="utf-8"))) for path in sorted(source.glob("*.txt"))]
    else:
        lines = map(json.loads, source.read_text(encoding="utf-8").splitlines())
        articles = [Article(str(line["id"]), line["text"]) for line in lines]
    articles = [article for article in articles if article.text.strip()]
    if not articles:
        raise SystemExit(f"no article in {source}")
    if 0 < limit < len(articles):
        articles = [articles[index * len(articles) // limit] for index in range(limit)]
    return articles


def _body(text: str) -> str:
    first, _, rest = text.partition("\n")
    return rest if re.match(r"https?://\S+\s*$", first) else text


def count_words(articles: list[Article]) -> int:
    """Whitespace-separated tokens with at least one letter or digit."""
    return sum(any(map(str.isalnum, token)) for article in articles for token in article.text.split())
