"""Systems in turn: A B C, A B C, …, so that a slow hour of the machine meets all of them; ratios are taken within a round."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from .console import say, steps
from .program import Failed
from .rows import RATIOS, Row
from .systems import Outcome, System


@dataclass
class Rounds:
    """The outcomes of each system, by round."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    #: Why a system has no outcomes.
    failures: dict[str, str] = field(default_factory=dict)

    def speed(self, name: str) -> float:
        return median(outcome.words_per_second for outcome in self.outcomes[name])

    def ratios(self, above: str, below: str) -> list[float]:
        """The quotient of two systems' words per second in each round that both finished."""
        pairs = zip(self.outcomes.get(above, []), self.outcomes.get(below, []))
        return [one.words_per_second / other.words_per_second for one, other in pairs]

    def fill(self, rows: Iterable[Row]) -> None:
        """Writes the ratios into the rows that are one."""
        for row in rows:
            if row.name not in RATIOS:
                continue
            ratios = self.ratios(*RATIOS[row.name])
            if ratios:
                row.measured, row.spread = median(ratios), (min(ratios), max(ratios))
            else:
                row.note = "; ".join(f"{name}: {self.failures[name]}" for name in row.needs if name in self.failures)


def play(systems: dict[str, System], count: int) -> Rounds:
    """Measures every system `count` times. One that fails is told, and left out from then on."""
    rounds = Rounds()
    with steps("round", count * len(systems)) as bar:
        for number in range(count):
            for name, system in systems.items():
                if name not in rounds.failures:
                    bar.begin(f"{number + 1} of {count}, {system.title}")
                    try:
                        outcome = system.measure()
                    except (Failed, OSError) as error:
                        rounds.failures[name] = str(error).splitlines()[-1]
                        rounds.outcomes.pop(name, None)
                        say(f"{system.title}: {error}")
                    else:
                        rounds.outcomes.setdefault(name, []).append(outcome)
                        busy = f", {outcome.others:.0%} of the machine used by others" if outcome.others > 0.05 else ""
                        say(f"  {system.title}: {outcome.words_per_second:,.0f} words/s{busy}")
                bar.end()
    return rounds
