"""What a person sees while it runs: bars on a terminal, plain lines elsewhere. `NO_COLOR` is honoured by rich itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

CONSOLE = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """A line."""
    CONSOLE.print(text, markup=False, soft_wrap=True)


class Steps:
    """A count of steps, each told as it begins."""

    def __init__(self, title: str, total: int, progress: Progress | None) -> None:
        self.title, self.total, self.done, self.progress = title, total, 0, progress
        self.task = progress.add_task(title, total=total) if progress else None

    def begin(self, text: str) -> None:
        """The next step begins."""
        if self.progress:
            self.progress.update(self.task, description=f"{self.title}: {text}")
        else:
            say(f"{self.title} {self.done + 1}/{self.total}: {text}")

    def end(self, count: int = 1) -> None:
        """Steps are done."""
        self.done += count
        if self.progress:
            self.progress.update(self.task, completed=self.done)


@contextmanager
def steps(title: str, total: int) -> Iterator[Steps]:
    """A bar on a terminal, lines elsewhere."""
    if not CONSOLE.is_terminal:
        yield Steps(title, total, None)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=CONSOLE) as progress:
        yield Steps(title, total, progress)
