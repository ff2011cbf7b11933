"""Resident memory by the operating system's account."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil

INTERVAL_SECONDS = 0.05


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
        while not self._ended.wait(INTERVAL_SECONDS):
            try:
                root = psutil.Process(self.process)
                family = [root, *root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            total = 0
            for member in family:
                try:
                    total += member.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)
