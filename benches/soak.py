"""The proof that memory is flat: `make soak`, `make soak MINUTES=60`, `make soak ARTICLES=100000`,
`make soak PROFILE=fast`.

The daemon on a private PostgreSQL, fed without pause with articles of very mixed lengths made from the sample articles. Resident
memory is read each second from /proc and from /metrics. The exit code is 1 if, after warm-up (the first fifth of the articles, 2,000
at least), memory grew by more than 3 % (medians of the first and last tenth), or its slope over the articles is above zero by a relevant
amount: the lower end of the 95 % interval alone would add more than 1 % over the articles seen; or if the weights were read
more than once, a model was loaded again, or an article was lost or quarantined.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import matplotlib
import psycopg

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402
from measure import machine, mixture, trend  # noqa: E402
from measure.cluster import Cluster, add  # noqa: E402
from measure.console import CONSOLE, say, steps  # noqa: E402
from measure.daemon import Daemon, total  # noqa: E402
from measure.places import NERD, OUT, ROOT, SAMPLES  # noqa: E402

#: Articles that wait in the queue: refilled when fewer do, by as many.
QUEUE = 400
SAMPLE_SECONDS = 1.0
MEGABYTE = 1e6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how long it is fed (default: %(default)s)")
    parser.add_argument("--articles", type=int, help="feed so many articles instead, however long it takes")
    parser.add_argument("--workers", type=int, default=0, help="workers (default: one for each core)")
    parser.add_argument("--profile", choices=["accurate", "fast"], default="accurate", help="the bundled model (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nerd", type=Path, default=NERD, help="the binary (default: %(default)s)")
    return parser.parse_args()


def feed(options: argparse.Namespace, daemon: Daemon, url: str) -> tuple[list[dict], int, dict[str, float]]:
    """Keeps the queue filled until the time or the articles are over and the queue is empty; samples, articles fed, last metrics."""
    source = mixture.articles(SAMPLES, options.seed)
    samples: list[dict] = []
    fed, begin = 0, time.monotonic()
    end = begin + options.minutes * 60
    goal = options.articles or int(options.minutes * 60)
    with psycopg.connect(url) as connection, steps("soak", goal) as bar:
        bar.begin("articles" if options.articles else "seconds")
        told = 0.0
        while True:
            metrics = daemon.metrics()
            settled, now = daemon.settled(metrics), time.monotonic()
            feeding = fed < options.articles if options.articles else now < end
            if feeding and fed - settled < QUEUE:
                count = min(QUEUE, options.articles - fed) if options.articles else QUEUE
                add(connection, islice(source, count))
                fed += count
            samples.append(
                {
                    "seconds": round(now - begin, 2),
                    "articles": settled,
                    "words": total(metrics, "nerd_words_total"),
                    "resident": daemon.memory()["VmRSS"],
                    "anonymous": daemon.memory()["RssAnon"],
                    "reported": metrics["process_resident_memory_bytes"],
                }
            )
            bar.end(min(goal, settled if options.articles else int(now - begin)) - bar.done)
            if not CONSOLE.is_terminal and now - told >= 30:
                told = now
                say(f"  {now - begin:6.0f} s  {settled:7} articles  {samples[-1]['resident'] / MEGABYTE:6.1f} MB")
            if not feeding and settled >= fed:
                return samples, fed, metrics
            time.sleep(max(0.0, SAMPLE_SECONDS - (time.monotonic() - now)))


def plot(path: Path, samples: list[dict], found: trend.Trend) -> None:
    """Resident memory over articles, the fitted line and what was warm-up."""
    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    x = [sample["articles"] for sample in samples]
    axes.plot(x, [sample["resident"] / MEGABYTE for sample in samples], lw=0.9, color="#1b6ca8", label="resident (/proc)")
    axes.plot(x, [sample["anonymous"] / MEGABYTE for sample in samples], lw=0.9, color="#9aa5b1", label="of it anonymous")
    middle = found.first_article + found.articles / 2
    kept = [sample["resident"] for sample in samples if sample["articles"] >= found.first_article]
    ends = [found.first_article, found.first_article + found.articles]
    level = sum(kept) / len(kept)
    axes.plot(ends, [(level + found.slope * (at - middle)) / MEGABYTE for at in ends], color="#c53030", lw=1.2, label="trend")
    axes.axvspan(0, found.first_article, color="#000000", alpha=0.06, lw=0)
    axes.set(xlabel="articles (grey: warm-up)", ylabel="MB", ylim=(0, None))
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path)
    pyplot.close(figure)


def slope(found: trend.Trend) -> str:
    """In words."""
    estimate, low, high = (bytes_ * 1000 / 1024 for bytes_ in (found.slope, found.low, found.high))
    return f"{estimate:+.1f} KiB a thousand articles, 95 % interval {low:+.1f} to {high:+.1f}"


def later(articles: list[float], resident: list[float]) -> str:
    """The second half's slope, which tells a rise that ends from one that goes on; judges nothing."""
    try:
        return slope(trend.judge(articles, resident, warm_up=0.5))
    except ValueError:
        return "too short to say"


def faults(metrics: dict[str, float], fed: int) -> list[str]:
    """What the daemon's own account says against it."""
    reads = total(metrics, "nerd_model_weight_reads_total")
    again = total(metrics, "nerd_model_loads_total") - total(metrics, "nerd_model_loads_total", reason="startup")
    done = total(metrics, "nerd_articles_total", outcome="done")
    found = [] if reads == 1 else [f"the weights were read {reads:.0f} times"]
    found += [f"models were loaded again {again:.0f} times"] if again else []
    found += [f"{done:.0f} of {fed} articles were committed"] if done != fed else []
    return found


def main() -> int:
    options = arguments()
    if not options.nerd.exists():
        raise SystemExit(f"{options.nerd} is missing: `make soak` builds it")
    OUT.mkdir(parents=True, exist_ok=True)
    with Cluster(options.nerd) as cluster:
        url = cluster.create("soak")
        with Daemon(options.nerd, url, f"engine.workers={options.workers}", f"model.profile={options.profile}") as daemon:
            daemon.wait_ready()
            samples, fed, metrics = feed(options, daemon, url)
            code = daemon.stop()
    report = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine.describe(), "profile": options.profile, "fed": fed, "samples": samples}
    (OUT / "soak.json").write_text(json.dumps(report) + "\n", encoding="utf-8")
    against = faults(metrics, fed) + ([f"the daemon ended with {code}"] if code else [])
    try:
        articles, resident = [sample["articles"] for sample in samples], [sample["resident"] for sample in samples]
        found = trend.judge(articles, resident)
    except ValueError as error:
        raise SystemExit(f"soak: {error}") from error
    plot(OUT / "soak.svg", samples, found)
    against += found.faults
    seconds, words = samples[-1]["seconds"], samples[-1]["words"]
    lines = [
        ("profile", options.profile),
        ("articles, words", f"{fed:,}, {words:,.0f} in {seconds:,.0f} s ({words / seconds:,.0f} words/s)"),
        ("resident memory", f"{found.begin_bytes / MEGABYTE:.1f} MB after warm-up, {found.end_bytes / MEGABYTE:.1f} MB at the end ({found.growth:+.2%})"),
        ("highest", f"{max(sample['resident'] for sample in samples) / MEGABYTE:.1f} MB"),
        ("slope", slope(found)),
        ("of the second half", later(articles, resident)),
        ("weights read", f"{total(metrics, 'nerd_model_weight_reads_total'):.0f} time"),
        ("plot, samples", f"{(OUT / 'soak.svg').relative_to(ROOT)}, {(OUT / 'soak.json').relative_to(ROOT)}"),
    ]
    for name, value in lines:
        print(f"{name:18} {value}")
    print("memory is flat" if not against else "NOT flat or not whole: " + "; ".join(against))
    return int(bool(against))


if __name__ == "__main__":
    sys.exit(main())
