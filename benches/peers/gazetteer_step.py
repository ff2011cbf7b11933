"""The gazetteer's part of the step that nerd replaces, in its own order of work, on the rows, texts and entities of `benches/gazetteer.rs`.

An article at a time: the rows are normalized, tokenized, made into patterns of an entity ruler that validates every one, and
indexed for matching; each entity without an exact match is compared with every row. The model's entities are given, so no model
is loaded or run, and reading and writing the database is left out.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import spacy
from gazetteer import Row
from replaced_step import KEPT, best_row, normalize, patterns
from spacy.pipeline import EntityRuler

PLACE = Path("target/bench/gazetteer")
#: Articles; each takes seconds.
MOST = 12


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (PLACE / name).read_text().splitlines()]


def matched(nlp: spacy.Language, rows: list[Row], article: dict) -> int:
    """Names that have a row."""
    wanted, categories = patterns(nlp, rows)
    doc = nlp.make_doc(article["text"])
    spans = [doc.char_span(e["start"], e["end"], label=e["label"], alignment_mode="contract") for e in article["entities"]]
    doc.ents = [span for span in spans if span is not None]
    ruler = EntityRuler(nlp, validate=True, phrase_matcher_attr="LOWER")
    ruler.add_patterns(wanted)
    ruler(doc)
    found = {}
    for entity in doc.ents:
        norm = normalize(entity.text)
        if entity.label_ in KEPT or norm in categories:
            found.setdefault((norm, entity.label_))
    index: dict[str, list[Row]] = {}
    for row in rows:
        index.setdefault(row.name_norm or normalize(row.name), []).append(row)
    everything = [row for same in index.values() for row in same]
    return sum((best_row(norm, index.get(norm, [])) or best_row(norm, everything)) is not None for norm, _ in found)


def main() -> None:
    nlp = spacy.blank("en")
    rows = [Row(row["id"], row["name"], row["name_norm"], row["category"]) for row in lines("rows.jsonl")]
    articles = lines("articles.jsonl")
    articles = articles[:: max(1, len(articles) // MOST)][:MOST]
    seconds, names = [], 0
    for article in articles:
        started = time.perf_counter()
        names += matched(nlp, rows, article)
        seconds.append(time.perf_counter() - started)
    inference = statistics.mean(article["inference_seconds"] for article in articles)
    report = {"articles": len(articles), "mean_ms": statistics.mean(seconds) * 1e3}
    (PLACE / "python.json").write_text(json.dumps(report) + "\n")
    print(
        f"the same step in Python, {len(articles)} articles, {len(rows)} rows: p50 {statistics.median(seconds):.2f} s an article, "
        f"{statistics.mean(seconds) / inference:.0f} times nerd's inference; {names / len(articles):.1f} names with a row an article"
    )


if __name__ == "__main__":
    main()
