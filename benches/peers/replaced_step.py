"""The cost of the step that nerd replaces, in its own order of work, on a made-up gazetteer.

An article a call; for each article the gazetteer's rows are normalized, tokenized, made into patterns of an entity ruler that
validates every one, and indexed for matching; each entity without an exact match is compared with every row. The pipeline holds
tok2vec and ner only, fewer components than the step loaded, so the figure flatters it; so does running one process a core, where
the step ran one in all. Reading and writing the database is left out.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import articles as corpus
import gazetteer
import outcome
import spacy_alone
import workers

spacy_alone.prepare()

#: Labels that have a category in the host's scheme; the others are dropped before matching.
KEPT = {"PERSON", "LOC", "GPE", "FAC", "ORG", "NORP", "EVENT"}
RULED_FACILITIES = {"transportation", "landmarks"}
LOWEST_RATIO = 85.0


def normalize(text: str) -> str:
    for curly, plain in (("\u2019", "'"), ("\u2018", "'"), ("\u2013", "-"), ("\u2014", "-")):
        text = text.replace(curly, plain)
    return re.sub(r"\s+", " ", re.sub(r"[^a-z0-9\s'-]", " ", text.lower())).strip()


def best_row(norm: str, rows: list[gazetteer.Row]) -> tuple[str, float] | None:
    """The row whose key resembles most, by a look at each."""
    from rapidfuzz import fuzz

    best, highest = None, 0.0
    for row in rows:
        key = row.name_norm or normalize(row.name)
        if key == norm:
            return row.id, 100.0
        ratio = fuzz.ratio(norm, key)
        if ratio >= LOWEST_RATIO and ratio > highest:
            best, highest = row.id, ratio
    return (best, highest) if best else None


def patterns(nlp, rows: list[gazetteer.Row]) -> tuple[list[dict], dict[str, str]]:
    """What the entity ruler is made of, for each article anew; and the category of each name."""
    categories: dict[str, str] = {}
    names: dict[tuple[str, str], None] = {}
    for row in rows:
        label = "FAC" if row.category in RULED_FACILITIES else "ORG"
        for name in (row.name, row.name_norm):
            categories.setdefault(normalize(name), row.category)
            if (label, name.lower()) not in names:
                names[label, name.lower()] = None
    made = []
    for label, name in names:
        tokens = [{"LOWER": token.lower_} for token in nlp.make_doc(name) if not token.is_space]
        made.append({"label": label, "pattern": tokens})
    return made, categories


def load(pipeline: Path, count: int) -> workers.Engine:
    import spacy
    from spacy.pipeline import EntityRuler

    nlp = spacy.load(pipeline)
    rows = gazetteer.rows(count)

    def annotate(text: str) -> list[dict]:
        wanted, categories = patterns(nlp, rows)
        doc = nlp(text)
        ruler = EntityRuler(nlp, validate=True, phrase_matcher_attr="LOWER")
        ruler.add_patterns(wanted)
        ruler(doc)
        found: dict[tuple[str, str], dict] = {}
        for entity in doc.ents:
            norm = normalize(entity.text)
            if (entity.label_ in KEPT or norm in categories) and (norm, entity.label_) not in found:
                found[norm, entity.label_] = {"label": entity.label_, "start": entity.start_char, "end": entity.end_char}
        index: dict[str, list[gazetteer.Row]] = {}
        for row in rows:
            index.setdefault(row.name_norm or normalize(row.name), []).append(row)
        for (norm, _), entity in found.items():
            match = best_row(norm, index.get(norm, []))
            if match is None:
                match = best_row(norm, [row for same in index.values() for row in same])
            entity["match"] = match
        return list(found.values())

    return lambda texts: ([annotate(text) for text in texts], 0)


def measure(options, texts: list[corpus.Article]) -> outcome.Outcome:
    run = workers.run(partial(load, options.pipeline, options.gazetteer), texts, options.processes, chunk=1, warm_up=1)
    outcome.write_predictions(options.predictions, texts, run.entities)
    return outcome.Outcome(
        system="replaced step",
        articles=len(texts),
        words=corpus.count_words(texts),
        seconds=run.seconds,
        cpu_seconds=run.cpu_seconds,
        load_seconds=run.load_seconds,
        peak_rss_bytes=run.peak_rss_bytes,
        settings={"gazetteer": options.gazetteer, "processes": options.processes},
    )


def main() -> None:
    parser = outcome.arguments(__doc__)
    parser.add_argument("--pipeline", type=Path, default=Path("target/bench/spacy/model-best"))
    parser.add_argument("--gazetteer", type=int, default=8500, help="rows of the gazetteer")
    parser.add_argument("--processes", type=int, default=2)
    outcome.run(parser, measure, {})


if __name__ == "__main__":
    main()
