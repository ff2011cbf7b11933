"""Articles of very mixed lengths, from one sentence to 100 kB, cut and joined from the sample articles by a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

#: Share of the articles, and the range of their bytes; drawn evenly over the logarithm. About 2.5 kB in the mean.
LENGTHS = [(0.15, 20, 150), (0.40, 150, 1_000), (0.34, 1_000, 5_000), (0.10, 5_000, 20_000), (0.01, 20_000, 100_000)]


def articles(samples: Path, seed: int) -> Iterator[tuple[str, str]]:
    """Endless articles (id, text): runs of whole sentences of the samples; the shortest is one sentence."""
    source = random.Random(seed)
    bodies = [path.read_text(encoding="utf-8") for path in sorted(samples.glob("*.txt"))]
    texts = [[sentence for sentence in re.split(r"(?<=[.!?])\s+|\n+", body) if sentence] for body in bodies]
    weights = [share for share, _, _ in LENGTHS]
    number = 0
    while True:
        _, low, high = source.choices(LENGTHS, weights)[0]
        wanted = low * (high / low) ** source.random()
        parts: list[str] = []
        length = 0
        while length < wanted:
            sentences = source.choice(texts)
            begin = source.randrange(len(sentences))
            for sentence in sentences[begin : begin + source.randint(1, 12)]:
                if parts and length >= wanted:
                    break
                parts.append(sentence)
                length += len(sentence.encode()) + 1
            parts.append("\n")
        yield f"soak-{number}", " ".join(parts).replace(" \n ", "\n\n").strip()
        number += 1
