"""spaCy's small CNN (tok2vec and ner only, trained by `spacy_train.py`): one process of one thread a core, `nlp.pipe`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import articles as corpus
import outcome
import spacy_alone
import workers

spacy_alone.prepare()

SEARCH_BATCHES = (1, 8, 32, 64, 128)


def load(pipeline: Path, batch_size: int) -> workers.Engine:
    """An engine of one thread."""
    import spacy

    nlp = spacy.load(pipeline)

    def engine(texts: list[str]) -> tuple[list[list[dict]], int]:
        return [
            [{"label": entity.label_, "start": entity.start_char, "end": entity.end_char} for entity in doc.ents]
            for doc in nlp.pipe(texts, batch_size=batch_size)
        ], 0

    return engine


def measure(options, texts: list[corpus.Article], batch_size: int) -> outcome.Outcome:
    run = workers.run(partial(load, options.pipeline, batch_size), texts, options.processes, options.chunk)
    outcome.write_predictions(options.predictions, texts, run.entities)
    return outcome.Outcome(
        system="spaCy CNN",
        articles=len(texts),
        words=corpus.count_words(texts),
        seconds=run.seconds,
        cpu_seconds=run.cpu_seconds,
        load_seconds=run.load_seconds,
        peak_rss_bytes=run.peak_rss_bytes,
        settings={"batch_size": batch_size, "processes": options.processes, "chunk": options.chunk},
    )


def main() -> None:
    parser = outcome.arguments(__doc__)
    parser.add_argument("--pipeline", type=Path, default=Path("target/bench/spacy/model-best"))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=64, help="articles that a process takes at once")
    outcome.run(parser, measure, {"batch_size": SEARCH_BATCHES})


if __name__ == "__main__":
    main()
