"""Processes of one thread each that share a list of articles, as every system that scales by processes is run.

Each process loads its own engine and warms it up; the clock starts when all of them are ready and stops when the last has
finished. They take chunks of articles off one counter, so that none idles while another still has a queue.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass

import articles as corpus
import outcome

#: Takes texts, gives the entities of each and the number of wordpieces computed (0 where there are none).
Engine = Callable[[list[str]], tuple[list[list[dict]], int]]


@dataclass
class Run:
    """What the processes did together."""

    seconds: float
    cpu_seconds: float
    load_seconds: float
    peak_rss_bytes: int
    wordpieces: int
    entities: list[list[dict]]


def run(load: Callable[[], Engine], texts: list[corpus.Article], processes: int, chunk: int, warm_up: int = corpus.WARM_UP_ARTICLES) -> Run:
    """Annotates the texts; `load` is called in every process, which then sees the last `warm_up` texts before the clock starts."""
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(processes + 1)
    counter = context.Value("l", 0)
    results = context.SimpleQueue()
    children = [
        context.Process(target=_child, args=(load, texts, chunk, warm_up, gate, counter, results), daemon=True)
        for _ in range(processes)
    ]
    begin = time.perf_counter()
    for child in children:
        child.start()
    gate.wait(timeout=600)
    start = time.perf_counter()
    reports = [results.get() for _ in children]
    for child in children:
        child.join()
    entities: dict[int, list[list[dict]]] = {}
    for report in reports:
        entities |= report["entities"]
    return Run(
        # CLOCK_MONOTONIC is one clock for all processes.
        seconds=max(report["end"] for report in reports) - start,
        cpu_seconds=sum(report["cpu"] for report in reports),
        load_seconds=start - begin,
        peak_rss_bytes=sum(report["peak_rss"] for report in reports),
        wordpieces=sum(report["wordpieces"] for report in reports),
        entities=[found for index in sorted(entities) for found in entities[index]],
    )


def _child(load, texts, chunk, warm_up, gate, counter, results) -> None:
    try:
        engine = load()
        engine([text.text for text in texts[-warm_up:]])
    except BaseException:
        gate.abort()
        raise
    gate.wait()
    used = time.process_time()
    entities, wordpieces = {}, 0
    while True:
        with counter.get_lock():
            index = counter.value
            counter.value += chunk
        if index >= len(texts):
            break
        entities[index], pieces = engine([text.text for text in texts[index : index + chunk]])
        wordpieces += pieces
    end = time.perf_counter()
    results.put({"end": end, "cpu": time.process_time() - used, "peak_rss": outcome.peak_rss(), "wordpieces": wordpieces, "entities": entities})
