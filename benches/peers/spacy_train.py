"""spaCy's small CNN for named entities, trained on the corpus that the bundled model was trained on.

`python spacy_train.py --corpus newswire --out target/bench/spacy` makes it once: spaCy's own quickstart configuration
(`--optimize efficiency`: tok2vec and ner), the articles as texts that spaCy tokenizes itself, the best step on the dev part kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models" / "recipe"))
import corpus  # noqa: E402


def bins(source: Path, path: Path) -> Path:
    """A part of the corpus as spaCy reads it. An entity that spaCy's tokens cannot hold is widened to the tokens it touches."""
    import spacy
    from spacy.tokens import DocBin
    from spacy.util import filter_spans

    blank = spacy.blank("en")
    packed = DocBin()
    for article in corpus.read(source):
        doc = blank.make_doc(article.text())
        spans = [doc.char_span(start, end, label=label, alignment_mode="expand") for start, end, label in article.entities()]
        doc.ents = filter_spans([span for span in spans if span is not None])
        packed.add(doc)
    packed.to_disk(path)
    return path


def train(source: Path, out: Path) -> Path:
    """The directory of the trained pipeline, made if it is not there yet."""
    best = out / "model-best"
    if (out / "complete").exists():
        return best
    out.mkdir(parents=True, exist_ok=True)
    spacy = [sys.executable, "-m", "spacy"]
    config = out / "config.cfg"
    init = ["init", "config", str(config), "--lang", "en", "--pipeline", "ner", "--optimize", "efficiency", "--force"]
    subprocess.run([*spacy, *init], check=True, stdout=sys.stderr)
    parts = {part: bins(source / part, out / f"{part}.spacy") for part in ("train", "dev")}
    paths = [f"--paths.{part}={path}" for part, path in parts.items()]
    subprocess.run([*spacy, "train", str(config), "--output", str(out), *paths], check=True, stdout=sys.stderr)
    scores = json.loads((best / "meta.json").read_text(encoding="utf-8"))["performance"]
    (out / "complete").write_text(json.dumps({"ents_f": scores["ents_f"]}), encoding="utf-8")
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="the corpus, with train/ and dev/")
    parser.add_argument("--out", type=Path, default=Path("target/bench/spacy"))
    options = parser.parse_args()
    print(train(options.corpus, options.out))


if __name__ == "__main__":
    main()
