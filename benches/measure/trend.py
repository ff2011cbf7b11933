"""Whether memory grows: the slope of resident memory over articles, with an interval that respects that samples hang together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from scipy import stats

#: What comes before is warm-up: this share of the articles, and at least so many, until each length has been seen often.
WARM_UP, WARM_UP_ARTICLES = 0.2, 2000
#: The share of the rest, at its beginning and its end, that is compared.
EDGE = 0.1
#: Growth from the beginning to the end, after warm-up, that fails: share of the beginning.
GROWTH_LIMIT = 0.03
#: A slope fails if even the lower end of its interval means growth over the run above this share of the beginning.
RELEVANT = 0.01
RESAMPLES = 2000
#: With fewer samples nothing is concluded.
FEWEST_SAMPLES = 60


@dataclass(frozen=True)
class Trend:
    """The verdict on a series of resident memory, in bytes."""

    #: Articles processed when the part that is judged begins, and that it spans.
    first_article: float
    articles: float
    #: Medians of the first and the last tenth.
    begin_bytes: float
    end_bytes: float
    #: Bytes an article: the estimate, and its 95 % interval.
    slope: float
    low: float
    high: float

    @property
    def growth(self) -> float:
        """Share by which the end is above the beginning."""
        return self.end_bytes / self.begin_bytes - 1

    @property
    def certain_growth(self) -> float:
        """Share that the lower end of the interval adds over the articles seen; not above 0 if the interval holds 0."""
        return self.low * self.articles / self.begin_bytes

    @property
    def faults(self) -> list[str]:
        """Why memory is not flat; empty if it is."""
        found = []
        if self.growth > GROWTH_LIMIT:
            found.append(f"memory grew by {self.growth:.1%} after warm-up, more than {GROWTH_LIMIT:.0%}")
        if self.low > 0 and self.certain_growth > RELEVANT:
            found.append(f"memory rises: even the lower end of the slope adds {self.certain_growth:.1%}, more than {RELEVANT:.0%}")
        return found


def judge(articles: list[float], resident: list[float], warm_up: float = WARM_UP, seed: int = 1) -> Trend:
    """The trend after warm-up, a share of the articles. The interval is a moving-block bootstrap of the residuals, blocks as long as
    the series remembers, widened where they are few."""
    x, y = numpy.asarray(articles, float), numpy.asarray(resident, float)
    kept = x >= max(x[-1] * warm_up, WARM_UP_ARTICLES)
    x, y = x[kept], y[kept]
    if len(x) < FEWEST_SAMPLES:
        raise ValueError(f"{len(x)} samples after warm-up are too few to judge, {FEWEST_SAMPLES} are needed: run longer")
    edge = max(1, int(len(x) * EDGE))
    slope, intercept = numpy.polyfit(x, y, 1)
    residuals = y - slope * x - intercept
    block = block_length(residuals)
    source = numpy.random.default_rng(seed)
    starts = source.integers(0, len(x) - block + 1, size=(RESAMPLES, -(-len(x) // block)))
    rows = (starts[:, :, None] + numpy.arange(block)).reshape(RESAMPLES, -1)[:, : len(x)]
    centred = x - x.mean()
    slopes = slope + (residuals[rows] @ centred) / (centred @ centred)
    low, high = slope + (numpy.percentile(slopes, [2.5, 97.5]) - slope) * _widening(len(x) / block)
    return Trend(x[0], x[-1] - x[0], float(numpy.median(y[:edge])), float(numpy.median(y[-edge:])), slope, low, high)


def _widening(blocks: float) -> float:
    """What few independent blocks add to the interval: the fit took two parameters out of them, and Student's tails are longer."""
    freedom = max(1.0, blocks - 2)
    return float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975) * (blocks / freedom) ** 0.5)


def block_length(residuals: numpy.ndarray) -> int:
    """Twice the first lag at which the residuals no longer resemble themselves, at least the cube root of their number."""
    count = len(residuals)
    centred = residuals - residuals.mean()
    power = centred @ centred
    lag = 1
    while power > 0 and lag < count // 8 and centred[lag:] @ centred[:-lag] / power > 2 / count**0.5:
        lag += 1
    return max(2 * lag, round(count ** (1 / 3)))
