"""The training corpus: news articles as tokens with entity tags.

The corpus is English Worldwide Newswire (Shan et al., "Do 'English' Named
Entity Recognizers Work Well on Global Englishes?", Findings of EMNLP 2023;
public repository stanfordnlp/en-worldwide-newswire). It is not part of this
repository.

One file is one article: its address on the first line, then one token and its
tags a line, separated by tabs, with an empty line between sentences. The first
tag is the outermost entity; further columns hold nested ones and are not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The corpus's entity types, in the order of the model's labels.
TYPES = {
    "Person": "PERSON",
    "Organization": "ORG",
    "Location": "LOC",
    "Facility": "FAC",
    "NORP": "NORP",
    "Product": "PRODUCT",
    "Date": "DATE",
    "Money": "MONEY",
    "Misc": "MISC",
}

#: The model's labels: `O`, then `B-` and `I-` of each type.
LABELS = ["O"] + [f"{prefix}-{name}" for name in TYPES.values() for prefix in "BI"]


@dataclass(frozen=True)
class Sentence:
    """A sentence: its tokens joined by spaces, and what is tagged in it."""

    text: str
    #: Code-point span of each token in `text`.
    tokens: list[tuple[int, int]]
    #: BIO label of each token; legal, an opening `I-` has become `B-`.
    labels: list[str]

    def entities(self) -> list[tuple[int, int, str]]:
        """The entities as (start, end, type), in code points of `text`."""
        found: list[tuple[int, int, str]] = []
        for (start, end), label in zip(self.tokens, self.labels):
            if label.startswith("B-"):
                found.append((start, end, label[2:]))
            elif label.startswith("I-"):
                found[-1] = (found[-1][0], end, label[2:])
        return found


@dataclass(frozen=True)
class Article:
    """An article of the corpus."""

    name: str
    sentences: list[Sentence]

    def text(self) -> str:
        """The article as one text: a line a sentence."""
        return "\n".join(sentence.text for sentence in self.sentences)

    def entities(self) -> list[tuple[int, int, str]]:
        """The entities as (start, end, type), in code points of `text()`."""
        found, base = [], 0
        for sentence in self.sentences:
            found += [(base + start, base + end, name) for start, end, name in sentence.entities()]
            base += len(sentence.text) + 1
        return found


def read(directory: Path) -> list[Article]:
    """All articles of a directory, in the order of their file names."""
    return [_article(path) for path in sorted(directory.glob("*.tsv"))]


def _article(path: Path) -> Article:
    sentences: list[Sentence] = []
    rows: list[tuple[str, str]] = []
    for line in path.read_text(encoding="utf-8").split("\n")[1:] + [""]:
        if line.strip():
            token, *tags = line.split("\t")
            rows.append((token, tags[0] if tags else "O"))
        elif rows:
            sentences.append(_sentence(rows))
            rows = []
    return Article(path.stem, sentences)


def _sentence(rows: list[tuple[str, str]]) -> Sentence:
    tokens, labels, start, previous = [], [], 0, ""
    for token, tag in rows:
        tokens.append((start, start + len(token)))
        start += len(token) + 1
        prefix, _, source = tag.partition("-")
        name = TYPES[source] if source else ""
        if not name:
            labels.append("O")
        elif prefix == "I" and name == previous:
            labels.append(f"I-{name}")
        else:
            labels.append(f"B-{name}")
        previous = name
    return Sentence(" ".join(token for token, _ in rows), tokens, labels)
