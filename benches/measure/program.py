"""A measured program: run to its end, with time, memory and the share of the machine that others took."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .machine import Busy
from .memory import Sampler
from .places import ROOT


class Failed(RuntimeError):
    """A program ended with an unexpected exit code."""


@dataclass
class Run:
    """What a program did."""

    code: int
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    #: Share of the machine's processors that went to others meanwhile.
    others: float
    output: str


def environment(**extra: str) -> dict[str, str]:
    """This environment without what would configure nerd."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NERD_") and name != "DATABASE_URL"}
    return kept | extra


def run(command: list[str | Path], codes: tuple[int, ...] = (0,), discard: bool = False, **extra: str) -> Run:
    """Runs a program in the project's directory; `extra` is added to its environment."""
    busy, used = Busy(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as out:
        begin = time.perf_counter()
        arguments = list(map(str, command))
        sink = subprocess.DEVNULL if discard else out
        process = subprocess.Popen(arguments, cwd=ROOT, env=environment(**extra), stdout=sink, stderr=errors)
        try:
            with Sampler(process.pid) as sampler:
                code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        seconds = time.perf_counter() - begin
        for stream in (errors, out):
            stream.seek(0)
        if code not in codes:
            tail = errors.read().decode(errors="replace").strip().splitlines()[-12:]
            raise Failed(f"{' '.join(arguments[:4])} … ended with {code}:\n" + "\n".join(tail))
        output = out.read().decode()
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return Run(code, seconds, cpu, sampler.peak, busy.others(cpu), output)
