"""Articles cut into slices that fit one window, at sentence ends, longest first: what `rust_bert.rs` is fed with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tokenizers import Tokenizer

import articles as corpus
import windows


def cut(texts: list[str], tokenizer: Tokenizer, limit: int) -> list[str]:
    """The texts as slices of at most `limit` wordpieces, together every word, longest first."""
    slices = []
    for text, encoding in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False)):
        pieces = windows.pieces(text, encoding)
        for begin, end in windows.windows(pieces, windows.sentence_starts(text), limit):
            slices.append((end - begin, text[pieces.starts[begin] : pieces.ends[end - 1]]))
    slices.sort(key=lambda pair: -pair[0])
    return [text for _, text in slices]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0, help="articles, evenly spread over the data (default: all)")
    parser.add_argument("--model", type=Path, default=Path("models/news-ner"))
    parser.add_argument("--pieces", type=int, default=126, help="wordpieces of a slice")
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    for text in cut([article.text for article in corpus.read(options.data, options.limit)], tokenizer, options.pieces):
        print(json.dumps({"text": text}))


if __name__ == "__main__":
    main()
