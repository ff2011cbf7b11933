"""The same weights under ONNX Runtime: int8, one process a core, windows of at most 128 ended at sentences, sorted batches.

The strongest rival: fused graph, dynamic quantization per channel, tokenizing by Hugging Face's own Rust tokenizers. `--search`
tries the kinds of graph and the tokens a batch on the given articles, and prints the outcome of the fastest.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import articles as corpus
import outcome
import workers

os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")

#: Kinds of graph that `--search` tries; `f32` of the same graph shows what int8 is worth on the processor.
SEARCH_KINDS = ("int8", "int8-reduced", "uint8", "f32")
SEARCH_TOKENS = (512, 1024, 2048, 4096)


def load(model: Path, path: Path, batch_tokens: int) -> workers.Engine:
    """An engine of one thread."""
    import numpy
    import onnxruntime
    import windows
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    names, limit = manifest["labels"], manifest["max_pieces"]
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    first, last = (tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))

    def engine(texts: list[str]) -> tuple[list[list[dict]], int]:
        found: list[list[dict]] = [[] for _ in texts]
        pieces = [windows.pieces(*pair) for pair in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False))]
        queue = [
            (end - begin, text, begin)
            for text, own in enumerate(pieces)
            for begin, end in windows.windows(own, windows.sentence_starts(texts[text]), limit)
        ]
        queue.sort()
        at = 0
        while at < len(queue):
            rows = 1
            while at + rows < len(queue) and (rows + 1) * (queue[at + rows][0] + 2) <= batch_tokens:
                rows += 1
            batch = queue[at : at + rows]
            at += rows
            width = batch[-1][0] + 2
            ids, types, mask = (numpy.zeros((rows, width), dtype=numpy.int32) for _ in range(3))
            for row, (length, text, begin) in enumerate(batch):
                own = pieces[text]
                ids[row, 0], ids[row, length + 1] = first, last
                ids[row, 1 : length + 1] = own.ids[begin : begin + length]
                types[row, 1 : length + 1] = own.shapes[begin : begin + length]
                mask[row, : length + 2] = 1
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
            labels = session.run(["logits"], feed)[0].argmax(axis=-1)
            for row, (length, text, begin) in enumerate(batch):
                found[text] += windows.entities(pieces[text], begin, labels[row, 1 : length + 1], names)
        return found, sum(len(own.ids) for own in pieces)

    return engine


def measure(options, texts: list[corpus.Article], kind: str, batch_tokens: int) -> outcome.Outcome:
    import onnx_export

    path = onnx_export.graph(options.model, options.out, kind)
    run = workers.run(partial(load, options.model, path, batch_tokens), texts, options.processes, options.chunk)
    outcome.write_predictions(options.predictions, texts, run.entities)
    return outcome.Outcome(
        system=f"ONNX Runtime {kind}",
        articles=len(texts),
        words=corpus.count_words(texts),
        wordpieces=run.wordpieces,
        seconds=run.seconds,
        cpu_seconds=run.cpu_seconds,
        load_seconds=run.load_seconds,
        peak_rss_bytes=run.peak_rss_bytes,
        settings={"kind": kind, "batch_tokens": batch_tokens, "processes": options.processes, "chunk": options.chunk},
    )


def main() -> None:
    parser = outcome.arguments(__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/news-ner"))
    parser.add_argument("--out", type=Path, default=Path("target/bench/onnx"), help="where the graphs are kept")
    parser.add_argument("--kind", choices=SEARCH_KINDS, default="int8")
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=32, help="articles that a process takes at once")
    outcome.run(parser, measure, {"kind": SEARCH_KINDS, "batch_tokens": SEARCH_TOKENS})


if __name__ == "__main__":
    main()
