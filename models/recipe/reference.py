"""The run-time specification of the model, and its plainest implementation.

From a text to its entities, in single precision and without any cleverness. A
fast implementation must give the same entities (`compare.py`).

1. **Tokens.** Hugging Face's `tokenizers`: BertNormalizer (clean text, space
   around Chinese characters, lower case, hence without accents),
   BertPreTokenizer, WordPiece (`[UNK]`, `##`, at most 100 characters a word).
   The whole text is encoded once, without special tokens; special tokens that
   stand in the text are plain text. Offsets count code points of the text.
2. **Words.** A word is one pre-token. Its source is the slice from the start of
   its first piece to the end of its last.
3. **Word shape.** Letters are the upper-case and lower-case characters of the
   word's source. The shape is 0 without an upper-case letter; 2 if there is
   more than one letter and all are upper case; else 1 if the first letter is
   upper case; else 3. It is the token type of each of the word's pieces;
   `[CLS]` and `[SEP]` have 0.
4. **Sentences.** Boundaries are those of UAX #29. One is not taken if the text
   before it, without the white space at its end, ends with a full stop that
   follows a run of 1 to 4 letters whose first is upper case (`Mr.`, `Gov.`,
   `U.S.`), unless that white space holds a line break or a line break follows.
   A word belongs to the sentence in which it starts.
5. **Windows.** Whole consecutive sentences are packed greedily, at most 126
   pieces a window. A sentence of more pieces starts a new window and is cut at
   word starts, as many whole words to a window as fit; its last window goes on
   being filled with the sentences after it. A word of more pieces starts a new
   window and is cut after every 126; its last part goes on being filled too,
   and only the first part's first piece decides its label. A window is `[CLS]`,
   the pieces, `[SEP]`.
6. **Decoding.** In each window, a word's scores are those of its first piece:
   log-softmax over the labels in single precision. The labels are the best
   legal sequence (Viterbi): `I-X` only after `B-X` or `I-X`, none at the
   window's start, no other transition scores, ties to the lower label. An
   entity is a `B-X` with the `I-X` after it. It starts where its first word
   starts and ends where its last word ends, extended over marks (Unicode
   category M) that follow directly. Its score is the arithmetic mean of its
   words' probabilities of the label chosen.
7. **Order.** By start.

As a program it reads JSON lines `{"id", "text"}` and writes JSON lines
`{"id", "entities": [{"text", "label", "start", "end", "score"}]}`.
"""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from uniseg.sentencebreak import sentence_boundaries

from bert import Shape, TokenClassifier, collate

MODEL = Path(__file__).resolve().parent.parent / "news-ner"
MAX_PIECES = 126
#: The paragraph separators of UAX #29.
LINE_BREAKS = "\n\r\u0085\u2028\u2029"
#: The characters of the property White_Space.
WHITE_SPACE = "\t\v\f \u00a0\u1680\u202f\u205f\u3000" + LINE_BREAKS + "".join(
    map(chr, range(0x2000, 0x200B))
)


@dataclass(frozen=True)
class Word:
    """A pre-token: its source slice, its pieces, its shape."""

    start: int
    end: int
    pieces: list[int]
    shape: int


@dataclass
class Window:
    """What the network sees at once, without `[CLS]` and `[SEP]`."""

    pieces: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    #: The words that start here, and where among the pieces.
    words: list[tuple[Word, int]] = field(default_factory=list)

    def add(self, word: Word) -> None:
        self.words.append((word, len(self.pieces)))
        self.extend(word.pieces, word.shape)

    def extend(self, pieces: list[int], shape: int) -> None:
        self.pieces += pieces
        self.types += [shape] * len(pieces)


def shape_of(source: str) -> int:
    """The shape of a word (3.)."""
    upper = [char.isupper() for char in source if char.isupper() or char.islower()]
    if not any(upper):
        return 0
    if len(upper) > 1 and all(upper):
        return 2
    return 1 if upper[0] else 3


def words_of(text: str, tokenizer: Tokenizer) -> list[Word]:
    """The words of a text (1., 2.)."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    spans: dict[int, tuple[int, int, list[int]]] = {}
    for piece, word, (start, end) in zip(encoding.ids, encoding.word_ids, encoding.offsets):
        first, _, pieces = spans.get(word, (start, end, []))
        spans[word] = (first, end, [*pieces, piece])
    return [
        Word(start, end, pieces, shape_of(text[start:end])) for start, end, pieces in spans.values()
    ]


def sentence_ends(text: str) -> list[int]:
    """Where the sentences of a text end (4.); the last is the text's length."""
    return [
        boundary
        for boundary in sentence_boundaries(text)
        if boundary > 0 and (boundary == len(text) or not _abbreviated(text, boundary))
    ]


def _abbreviated(text: str, boundary: int) -> bool:
    end = boundary
    while end > 0 and text[end - 1] in WHITE_SPACE:
        end -= 1
    if any(char in LINE_BREAKS for char in text[end : boundary + 1]):
        return False
    if end == 0 or text[end - 1] != ".":
        return False
    start = end - 1
    while start > 0 and end - start <= 6 and text[start - 1].isalpha():
        start -= 1
    return 1 <= end - 1 - start <= 4 and text[start].isupper()


def split_at(words: Iterable[Word], ends: list[int]) -> list[list[Word]]:
    """The words of each sentence; sentences without words are left out."""
    sentences: list[list[Word]] = [[] for _ in ends]
    current = 0
    for word in words:
        while word.start >= ends[current]:
            current += 1
        sentences[current].append(word)
    return [sentence for sentence in sentences if sentence]


def pack(sentences: Iterable[list[Word]], limit: int = MAX_PIECES) -> list[Window]:
    """The windows of a text (5.)."""
    windows = [Window()]

    def room(pieces: int) -> bool:
        return len(windows[-1].pieces) + pieces <= limit

    for sentence in sentences:
        if not room(sum(len(word.pieces) for word in sentence)):
            windows.append(Window())
        for word in sentence:
            if not room(len(word.pieces)):
                windows.append(Window())
            windows[-1].words.append((word, len(windows[-1].pieces)))
            for start in range(0, len(word.pieces), limit):
                if start:
                    windows.append(Window())
                windows[-1].extend(word.pieces[start : start + limit], word.shape)
    return [window for window in windows if window.pieces]


def viterbi(scores: np.ndarray, labels: list[str]) -> list[int]:
    """The best legal labels (6.) for (words, labels) log-probabilities."""
    opens = np.array([label.startswith("I-") for label in labels])
    legal = np.array([[_follows(before, after) for after in labels] for before in labels])
    barrier = np.where(legal, np.float32(0), np.float32(-np.inf))
    best = scores[0] + np.where(opens, np.float32(-np.inf), np.float32(0))
    back = []
    for row in scores[1:]:
        reached = best[:, None] + barrier
        back.append(reached.argmax(0))
        best = reached.max(0) + row
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1]


def _follows(before: str, after: str) -> bool:
    return not after.startswith("I-") or before[1:] == after[1:]


class Reference:
    """A model directory, ready to annotate."""

    def __init__(self, directory: Path) -> None:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        self.labels = [config["id2label"][str(index)] for index in range(len(config["id2label"]))]
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.tokenizer.encode_special_tokens = True
        self.specials = [self.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]")]
        self.network = TokenClassifier(Shape.of(config))
        weights = load_file(directory / "model.safetensors")
        self.network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        self.network.eval()

    def annotate(self, text: str) -> list[dict]:
        """The entities of a text."""
        sentences = split_at(words_of(text, self.tokenizer), sentence_ends(text))
        windows = pack(sentences)
        return [entity for part in self.decode(text, windows) for entity in part]

    def decode(self, text: str, windows: list[Window]) -> Iterator[list[dict]]:
        """The entities of each window."""
        for window in windows:
            if not window.words:  # the middle of a very long word
                continue
            scores = self.scores(window)
            path = viterbi(scores, self.labels)
            yield list(self.entities(text, window, path, scores))

    @torch.no_grad()
    def scores(self, window: Window) -> np.ndarray:
        """Log-probabilities (words, labels) of a window's words."""
        opening, closing = self.specials
        ids = [opening, *window.pieces, closing]
        logits = self.network(*collate([(ids, [0, *window.types, 0])]))[0]
        rows = [position + 1 for _, position in window.words]
        return torch.log_softmax(logits[rows].float(), -1).numpy()

    def entities(
        self, text: str, window: Window, path: list[int], scores: np.ndarray
    ) -> Iterator[dict]:
        index = 0
        while index < len(path):
            label, first = self.labels[path[index]], index
            index += 1
            if label == "O":
                continue
            while index < len(path) and self.labels[path[index]] == f"I-{label[2:]}":
                index += 1
            start, end = window.words[first][0].start, window.words[index - 1][0].end
            while end < len(text) and unicodedata.category(text[end]).startswith("M"):
                end += 1
            chosen = [np.exp(scores[word, path[word]]) for word in range(first, index)]
            yield {
                "text": text[start:end],
                "label": label[2:],
                "start": start,
                "end": end,
                "score": round(float(np.mean(chosen, dtype=np.float64)), 6),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description="annotate JSON lines from the standard input")
    parser.add_argument("--model", type=Path, default=MODEL, help="the model's directory")
    arguments = parser.parse_args()
    reference = Reference(arguments.model)
    for line in sys.stdin:
        if line.strip():
            request = json.loads(line)
            entities = reference.annotate(request["text"])
            print(json.dumps({"id": request["id"], "entities": entities}, ensure_ascii=False))


if __name__ == "__main__":
    main()
