"""`nerd run`, watched through its probes and by the operating system."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import memory
from .places import OUT, ROOT
from .program import Failed, environment

READY_SECONDS = 120


class Daemon:
    """A daemon on a database, with an address of its own."""

    def __init__(self, nerd: Path, url: str, *settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = OUT / "daemon.log"
        command = [nerd, "run", "--set", f"http.address=127.0.0.1:{self.port}"]
        for setting in settings:
            command += ["--set", setting]
        self.begun = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment(DATABASE_URL=url, NO_COLOR="1"), stdout=subprocess.DEVNULL, stderr=log
            )

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; (0, "") while nothing listens."""
        if self.process.poll() is not None:
            raise Failed(f"nerd run ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (ConnectionError, TimeoutError):
            return 0, ""
        finally:
            connection.close()

    def wait_ready(self) -> float:
        """Polls `/readyz` until it is 200; the seconds since the program was executed."""
        while self.get("/readyz")[0] != 200:
            if time.perf_counter() - self.begun > READY_SECONDS:
                raise Failed(f"nerd run was not ready within {READY_SECONDS} s")
            time.sleep(0.002)
        return time.perf_counter() - self.begun

    def metrics(self) -> dict[str, float]:
        """Every sample by its name with labels."""
        lines = self.get("/metrics")[1].splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")}

    def settled(self, metrics: dict[str, float]) -> int:
        """Articles that were committed or quarantined."""
        return int(sum(metrics.get(f'nerd_articles_total{{outcome="{outcome}"}}', 0) for outcome in ("done", "quarantined")))

    def wait_settled(self, articles: int, seconds: float) -> dict[str, float]:
        """Waits until that many articles are settled; the metrics then."""
        until = time.perf_counter() + seconds
        while True:
            metrics = self.metrics()
            if metrics and self.settled(metrics) >= articles:
                return metrics
            if time.perf_counter() > until:
                raise Failed(f"{self.settled(metrics)} of {articles} articles were settled within {seconds:.0f} s")
            time.sleep(0.1)

    def memory(self) -> dict[str, int]:
        return memory.status(self.process.pid)

    def stop(self) -> int:
        """Ends it by SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def total(metrics: dict[str, float], name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels."""
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    found = 0.0
    for sample, value in metrics.items():
        head, _, tail = sample.partition("{")
        if head == name and wanted <= set(re.findall(r'\w+="[^"]*"', tail)):
            found += value
    return found
