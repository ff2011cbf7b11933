"""The run-time specification of a model: how a text becomes windows and how scores become entities.

The daemon implements the same rules; `compare.py` holds the two against each other.

1. Tokenizer: Hugging Face `tokenizers`, BERT normalizer and pre-tokenizer, WordPiece. The whole text is encoded once, without
   special tokens. Offsets are code points into the text.
2. A word is one pre-token. Its source is the slice from the start of its first piece to the end of its last.
3. A word's shape, over the characters of its source that have case: 0 none is upper; 2 more than one, all upper; 1 the first is
   upper; 3 an upper one only later. A piece's token type is its word's shape; the special pieces have 0.
4. Sentences: UAX #29. A boundary is ignored where the text before it, trimmed, ends in a full stop after a word of one to four
   letters of which the first is upper (Mr., St., Gov., U.S.), unless a line break lies at the boundary.
5. Windows: whole consecutive sentences while their pieces number at most `max_pieces`. A longer sentence is cut at word starts,
   each cut as long as fits, its rest packed on with what follows. A word longer than a window is cut at pieces.
   A window is `[CLS]` pieces `[SEP]`.
6. Decoding, a window at a time, a word by its first piece: softmax over the labels in f32, the best legal BIO path (`I-X` only
   after `B-X` or `I-X`, none at the start), ties to the lower label.
7. An entity is a `B` and the `I`s that follow: source start of its first word to source end of its last, extended over the
   combining marks (category M) that follow directly. Its score is the mean probability of its words' labels.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy
from tokenizers import Tokenizer
from uniseg.sentencebreak import sentence_boundaries

CLS, SEP, PAD = "[CLS]", "[SEP]", "[PAD]"


@dataclass
class Piece:
    id: int
    word: int
    start: int
    end: int
    shape: int = 0
    first: bool = False


def shape(word: str) -> int:
    """The token type of a word."""
    cased = [c for c in word if c.isupper() or c.islower()]
    uppers = [c.isupper() for c in cased]
    if not any(uppers):
        return 0
    if len(uppers) > 1 and all(uppers):
        return 2
    return 1 if uppers[0] else 3


def pieces(tokenizer: Tokenizer, text: str, token_types: str) -> list[Piece]:
    """The pieces of a text with the word, source offsets and token type of each."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    out = [Piece(i, w, s, e) for i, w, (s, e) in zip(encoding.ids, encoding.word_ids, encoding.offsets)]
    begin = 0
    while begin < len(out):
        end = begin
        while end < len(out) and out[end].word == out[begin].word:
            end += 1
        out[begin].first = True
        if token_types == "word_shape":
            kind = shape(text[out[begin].start : out[end - 1].end])
            for piece in out[begin:end]:
                piece.shape = kind
        begin = end
    return out


def is_abbreviation(before: str) -> bool:
    """Whether the text before a boundary ends like `Mr.` or `U.S.`: a short capitalised word and a full stop."""
    before = before.rstrip()
    if not before.endswith("."):
        return False
    length = 0
    while length < 5 and length + 2 <= len(before) and before[-2 - length].isalpha():
        length += 1
    return 1 <= length <= 4 and before[-1 - length].isupper()


def sentence_starts(text: str) -> list[int]:
    """Code-point offsets at which a sentence starts, the text's own start left out."""
    starts = []
    for boundary in sentence_boundaries(text):
        if not 0 < boundary < len(text):
            continue
        gap_start = len(text[max(0, boundary - 64) : boundary].rstrip()) + max(0, boundary - 64)
        broken = any(c in "\n\r\u0085\u2028\u2029" for c in text[gap_start:boundary])
        if broken or not is_abbreviation(text[max(0, boundary - 64) : boundary]):
            starts.append(boundary)
    return starts


def windows(all_pieces: list[Piece], starts: list[int], max_pieces: int) -> list[tuple[int, int]]:
    """Ranges of pieces, in order, together all of them."""
    ends, boundary = [], 0
    for index, piece in enumerate(all_pieces):
        crossed = False
        while boundary < len(starts) and starts[boundary] <= piece.start:
            boundary, crossed = boundary + 1, True
        if crossed and piece.first and index > 0:
            ends.append(index)
    ends.append(len(all_pieces))
    out, begin, last = [], 0, 0
    for end in ends:
        if end - begin > max_pieces and last > begin:
            out.append((begin, last))
            begin = last
        while end - begin > max_pieces:
            cut = begin + max_pieces
            while cut > begin and not all_pieces[cut].first:
                cut -= 1
            if cut == begin:
                cut = begin + max_pieces
            out.append((begin, cut))
            begin = cut
        last = end
    if last > begin:
        out.append((begin, last))
    return out


def best_legal_path(log_probabilities: numpy.ndarray, labels: list[str]) -> list[int]:
    """The best label a row under BIO legality; ties to the lower label."""
    rows, count = log_probabilities.shape
    allowed = numpy.zeros((count, count), dtype=bool)
    for after, label in enumerate(labels):
        for before, previous in enumerate(labels):
            allowed[before, after] = not label.startswith("I-") or previous[2:] == label[2:] and previous != "O"
    inside = numpy.array([label.startswith("I-") for label in labels])
    score = numpy.where(inside, -numpy.inf, log_probabilities[0]).astype(numpy.float32)
    back = numpy.zeros((rows, count), dtype=int)
    for row in range(1, rows):
        candidates = numpy.where(allowed, score[:, None], -numpy.inf)
        back[row] = candidates.argmax(axis=0)
        score = (candidates.max(axis=0) + log_probabilities[row]).astype(numpy.float32)
    path = [int(score.argmax())]
    for row in range(rows - 1, 0, -1):
        path.append(int(back[row][path[-1]]))
    return path[::-1]


def decode(text: str, window: list[Piece], probabilities: numpy.ndarray, labels: list[str]) -> list[dict]:
    """The entities of one window; `probabilities` has a row for each of the window's pieces."""
    rows = [i for i, piece in enumerate(window) if piece.first]
    if not rows:
        return []
    ends = [window[i - 1].end for i in rows[1:]] + [window[-1].end]
    chosen = best_legal_path(numpy.log(probabilities[rows]), labels)
    out: list[dict] = []
    scores: list[float] = []

    def close() -> None:
        if scores:
            entity = out[-1]
            while entity["end"] < len(text) and unicodedata.category(text[entity["end"]]).startswith("M"):
                entity["end"] += 1
            entity["text"] = text[entity["start"] : entity["end"]]
            entity["score"] = round(float(numpy.mean(scores)), 6)
            scores.clear()

    for row, end, label in zip(rows, ends, chosen):
        name = labels[label]
        if not name.startswith("I-"):
            close()
        if name.startswith("B-"):
            out.append({"text": "", "label": name[2:], "start": window[row].start, "end": end})
        if name != "O":
            out[-1]["end"] = end
            scores.append(float(probabilities[row][label]))
    close()
    return out
