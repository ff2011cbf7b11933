"""Span F1 on whole entities, type and boundaries: `python evaluate.py --data newswire/dev`.

The texts are put together as a user would store them and go the whole way, sentence boundaries and windows included: the
corpus's own sentences and tokens are used for the truth only. `--predictions FILE` judges somebody else's entities instead
(JSON lines with the articles' names as ids, as `nerd annotate` writes them), `--texts FILE` writes the texts to give them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from tqdm import tqdm

import corpus
from reference import BUNDLED, Reference


def f1(right: int, found: int, true: int) -> float:
    return 2 * right / (found + true) if found + true else 0.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True, help="directory of a part of the corpus")
    arguments.add_argument("--model", type=Path, default=BUNDLED)
    arguments.add_argument("--predictions", type=Path, help="JSON lines of entities to judge instead of the reference's")
    arguments.add_argument("--texts", type=Path, help="write the texts as JSON lines and stop")
    options = arguments.parse_args()
    articles = corpus.read(options.data)
    if options.texts:
        lines = (json.dumps({"id": article.name, "text": article.text()}, ensure_ascii=False) for article in articles)
        options.texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return
    if options.predictions:
        read = map(json.loads, options.predictions.read_text(encoding="utf-8").splitlines())
        given = {line["id"]: line["entities"] for line in read}
        annotate = lambda article: given[article.name]  # noqa: E731
    else:
        reference = Reference(options.model)
        annotate = lambda article: reference.annotate(article.text())  # noqa: E731
    right, found, true = Counter(), Counter(), Counter()
    for article in tqdm(articles, unit="article"):
        gold = set(article.entities())
        spans = {(entity["start"], entity["end"], entity["label"]) for entity in annotate(article)}
        for counter, entities in ((right, gold & spans), (found, spans), (true, gold)):
            counter.update(label for _, _, label in entities)
    print(f"{'label':8} {'precision':>9} {'recall':>7} {'F1':>6} {'true':>6}")
    for label in sorted(true, key=lambda name: -true[name]):
        precision, recall = right[label] / max(1, found[label]), right[label] / true[label]
        print(f"{label:8} {precision:9.3f} {recall:7.3f} {f1(right[label], found[label], true[label]):6.3f} {true[label]:6}")
    totals = [sum(counter.values()) for counter in (right, found, true)]
    print(f"{'micro':8} {totals[0] / totals[1]:9.3f} {totals[0] / totals[2]:7.3f} {f1(*totals):6.4f} {totals[2]:6}")


if __name__ == "__main__":
    main()
