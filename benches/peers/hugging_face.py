"""Hugging Face `pipeline("token-classification")`, f32, as its users run it.

Two ways of feeding it, both process every word: `stride`, the pipeline's own cutting of long texts with an overlap, and
`sentences`, texts cut beforehand at sentence ends into pieces that fit, sorted by length. The pipeline passes zeros as token
types, so the entities are not those of the model's word shapes; the speed is the same.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import articles as corpus
import outcome

os.environ.update(TOKENIZERS_PARALLELISM="true", HF_HUB_OFFLINE="1")

SEARCH_FEEDS = ("sentences", "stride")
SEARCH_BATCHES = (1, 4, 8, 16, 32)


def measure(options, texts: list[corpus.Article], feed: str, batch_size: int) -> outcome.Outcome:
    import slices
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    torch.set_num_threads(options.threads)
    begin = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(options.model, model_max_length=options.window)
    # One of its own: the pipeline leaves its truncation in the tokenizer that it uses.
    cutter = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    network = AutoModelForTokenClassification.from_pretrained(options.model, dtype=torch.float32).eval()
    extra = {"stride": options.stride} if feed == "stride" else {}
    annotate = pipeline("token-classification", network, tokenizer=tokenizer, aggregation_strategy="simple", device="cpu", **extra)

    def process(bodies: list[str]) -> None:
        if feed == "sentences":
            bodies = slices.cut(bodies, cutter, options.window - 2)
        annotate(bodies, batch_size=batch_size)

    process([text.text for text in texts[-corpus.WARM_UP_ARTICLES // 4 :]])
    start, used = time.perf_counter(), time.process_time()
    process([text.text for text in texts])
    end, used = time.perf_counter(), time.process_time() - used
    return outcome.Outcome(
        system="Hugging Face pipeline",
        articles=len(texts),
        words=corpus.count_words(texts),
        seconds=end - start,
        cpu_seconds=used,
        load_seconds=start - begin,
        peak_rss_bytes=outcome.peak_rss(),
        settings={"feed": feed, "batch_size": batch_size, "threads": options.threads, "window": options.window},
    )


def main() -> None:
    parser = outcome.arguments(__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/news-ner"))
    parser.add_argument("--feed", choices=SEARCH_FEEDS, default="sentences")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--window", type=int, default=128, help="wordpieces of an input, the two special ones counted")
    parser.add_argument("--stride", type=int, default=16, help="wordpieces that two inputs share when fed by stride")
    outcome.run(parser, measure, {"feed": SEARCH_FEEDS, "batch_size": SEARCH_BATCHES})


if __name__ == "__main__":
    main()
