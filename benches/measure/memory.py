"""Resident memory by the operating system's account."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import psutil

INTERVAL_SECONDS = 0.1
#: Descendants are looked for in each of the first so many samples, then in every so many.
EARLY, SEARCH_EVERY = 3, 20


def status(process: int) -> dict[str, int]:
    """`VmRSS`, `VmHWM` (its peak), `RssAnon` of a process, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name: int(value.split()[0]) * 1024 for name, value in pairs if name in ("VmRSS", "VmHWM", "RssAnon")}


class Sampler:
    """The highest sum of resident memory over a process and its descendants; pages they share count for each."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        family: list[psutil.Process] = []
        for tick in itertools.count():
            if self._ended.wait(INTERVAL_SECONDS):
                return
            try:
                # The search for descendants reads every process of the machine: done seldom, or it would weigh on what it measures.
                if tick < EARLY or tick % SEARCH_EVERY == 0:
                    root = psutil.Process(self.process)
                    family = [root, *root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.peak = max(self.peak, sum(map(_resident, family)))


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
