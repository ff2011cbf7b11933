"""The machine a measurement ran on, and how much of it something else was using."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from .places import ROOT

#: Instruction sets that decide the speed of matrix products.
TELLING_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16")


def describe() -> dict:
    """What a reader needs to judge the numbers."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    present = set(flags[1].split()) if flags else set()
    return {
        "processor": name[1] if name else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "instruction_sets": [flag for flag in TELLING_FLAGS if flag in present],
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
    }


class Busy:
    """Processor time that others took: all that the machine was busy with, less what the measured processes used."""

    def __init__(self) -> None:
        self.cores = psutil.cpu_count() or 1
        self.total, self.idle = self._read()

    @staticmethod
    def _read() -> tuple[float, float]:
        times = psutil.cpu_times()
        idle = times.idle + times.iowait
        return sum(times) - times.guest - times.guest_nice, idle

    def others(self, own_seconds: float) -> float:
        """The share, 0 to 1, of the machine since the start that went neither idle nor to `own_seconds` of processor time."""
        total, idle = self._read()
        elapsed = total - self.total
        if elapsed <= 0:
            return 0.0
        return min(1.0, max(0.0, (elapsed - (idle - self.idle) - own_seconds) / elapsed))
