"""Texts to windows of wordpieces that end at sentences, by the rules of `models/recipe/specification.py`, made fast.

The specification walks every piece in Python and splits sentences by a pure-Python UAX #29; for a system that is timed, both
would be a handicap of this file's making. Here sentences end by a regular expression and a window is found by bisection.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy
from tokenizers import Encoding

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models" / "recipe"))
import specification  # noqa: E402

SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*\s+|[^\S\n]*\n\s*")
word_shape = lru_cache(maxsize=1 << 16)(specification.shape)


@dataclass
class Pieces:
    """The pieces of a text, as arrays of one length: vocabulary id, word number, start, end, shape of the word."""

    ids: numpy.ndarray
    words: numpy.ndarray
    starts: numpy.ndarray
    ends: numpy.ndarray
    shapes: numpy.ndarray
    #: Whether a piece is the first of its word.
    firsts: numpy.ndarray


def pieces(text: str, encoding: Encoding) -> Pieces:
    """The pieces of a text that was encoded without special tokens."""
    ids = numpy.array(encoding.ids, dtype=numpy.int32)
    words = numpy.array(encoding.word_ids, dtype=numpy.int32)
    offsets = numpy.array(encoding.offsets, dtype=numpy.int32).reshape(-1, 2)
    firsts = numpy.ones(len(ids), dtype=bool)
    firsts[1:] = words[1:] != words[:-1]
    heads = numpy.flatnonzero(firsts)
    tails = numpy.append(heads[1:], len(ids)) - 1
    spans = zip(offsets[heads, 0].tolist(), offsets[tails, 1].tolist())
    kinds = numpy.array([word_shape(text[start:end]) for start, end in spans], dtype=numpy.int32)
    shapes = kinds[numpy.cumsum(firsts) - 1] if len(ids) else kinds
    return Pieces(ids, words, offsets[:, 0], offsets[:, 1], shapes, firsts)


def sentence_starts(text: str) -> list[int]:
    """Code-point offsets at which a sentence starts, the text's own start left out."""
    starts = []
    for match in SENTENCE_END.finditer(text):
        gap = match.group()
        if "\n" in gap or gap[0] != "." or not specification.is_abbreviation(text[max(0, match.start() - 8) : match.start() + 1]):
            starts.append(match.end())
    return starts


def windows(all_pieces: Pieces, starts: list[int], limit: int) -> list[tuple[int, int]]:
    """Ranges of pieces, in order, together all of them: whole sentences, at most `limit` pieces."""
    count = len(all_pieces.ids)
    ends = sorted({*numpy.searchsorted(all_pieces.starts, starts).tolist(), count} - {0})
    out, begin = [], 0
    while begin < count:
        at = bisect_left(ends, begin + limit + 1) - 1
        if at >= 0 and ends[at] > begin:
            end = ends[at]
        else:
            end = begin + limit
            while end > begin and not all_pieces.firsts[end]:
                end -= 1
            end = end if end > begin else begin + limit
        out.append((begin, end))
        begin = end
    return out


def entities(all_pieces: Pieces, begin: int, labels: numpy.ndarray, names: list[str]) -> list[dict]:
    """The entities of a window that begins at a piece, from the best label of each of its pieces."""
    firsts = numpy.flatnonzero(all_pieces.firsts[begin : begin + len(labels)])
    ends = all_pieces.ends[begin + numpy.append(firsts[1:], len(labels)) - 1]
    found: list[dict] = []
    previous = -2
    for row in numpy.flatnonzero(labels[firsts]).tolist():
        name = names[labels[firsts[row]]]
        if previous == row - 1 and name == "I-" + found[-1]["label"]:
            found[-1]["end"] = int(ends[row])
        else:
            found.append({"label": name[2:], "start": int(all_pieces.starts[begin + firsts[row]]), "end": int(ends[row])})
        previous = row
    return found
