"""Measures nerd against its rivals and its promises: `make bench`, or `benches/bench.py --data newswire`.

The systems run in turn, several rounds; ratios are taken within a round. The report goes to target/bench/. The exit code is 1 if
a promise that was measured is not met.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from measure import machine, plots, probes, report, systems
from measure.cluster import Cluster
from measure.console import CONSOLE, say, steps
from measure.places import NERD, OUT, PEERS, ROOT
from measure.program import Failed, run
from measure.rounds import Rounds, play
from measure.rows import RATIOS, Row, all_rows
from measure.systems import System
from measure.texts import Data, Texts, prepare

#: What the tagged corpus is needed for: spaCy is trained on it, and F1 is taken on its dev part.
TAGGED = {"spacy", "step", "accuracy", "accuracy-fast"}
#: What the fast profile is needed for.
FAST = {"nerd-fast", "accuracy-fast"}
#: What needs PostgreSQL.
DATABASE = {"extract", "daemon", "start", "round-trips"}
#: Articles on which the rivals' settings are searched.
SEARCHED_ARTICLES = 48
FAST_PROFILE = "model.profile=fast"
#: A ratio of nerd to itself: no rival's.
SELF = ("nerd", "nerd-one")
#: A daemon that is this slow, words a second, has failed.
SLOWEST = 200


def arguments(rows: list[Row]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="directory of .txt files, JSON lines of {id, text}, or a corpus with raw/, train/ and dev/ (default: the sample articles)"
    )
    parser.add_argument("--articles", type=int, default=0, help="at most so many, evenly spread (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", metavar="NAME", choices=[row.name for row in rows], help="a row; may be repeated: %(choices)s")
    parser.add_argument("--quick", action="store_true", help="two rounds of 320 articles, no claim benchmark: to see that it works")
    parser.add_argument("--search", action="store_true", help="search the rivals' best settings again")
    parser.add_argument("--nerd", type=Path, default=NERD, help="the binary (default: %(default)s)")
    options = parser.parse_args()
    options.data = options.data.resolve() if options.data else None
    if options.quick:
        options.rounds, options.articles = 2, options.articles or 320
    return options


class Bench:
    """The rows that are wanted, and what is measured for them."""

    def __init__(self, options: argparse.Namespace, rows: list[Row]) -> None:
        self.options, self.rows, self.nerd = options, rows, options.nerd
        self.data: Data = prepare(options.data, OUT / "texts", options.articles)
        #: What a probe saw, for the report.
        self.seen: dict[str, object] = {}
        # The configuration is refused, code 2, by a nerd or a model that has no such profile.
        tried = run([self.nerd, "annotate", "--input", "text", "--set", FAST_PROFILE, "/dev/null"], codes=(0, 1, 2))
        missing = {} if tried.code != 2 else dict.fromkeys(FAST, "no fast profile")
        missing |= {} if self.data.corpus else dict.fromkeys(TAGGED, "needs the tagged corpus: --data")
        missing |= {"claim": "left out by --quick"} if options.quick else {}
        self.missing = missing
        for row in rows:
            row.note = "; ".join(sorted({missing[name] for name in row.needs if name in missing}))

    def needs(self, *names: str) -> bool:
        """Whether one of these systems or probes is needed by a row that can be measured."""
        return any(name in row.needs for row in self.rows for name in names if not self.missing.keys() & set(row.needs))

    def set(self, name: str, value: float | None, note: str = "") -> None:
        """Writes what a probe measured into its row, if that is wanted."""
        for row in self.rows:
            if row.name == name:
                row.measured, row.note = value, note

    def rivals(self) -> dict[str, dict]:
        """The rivals' best settings on this machine, searched once and kept."""
        path = OUT / "settings.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        processor = machine.describe()["processor"]
        if kept.get("processor") != processor or self.options.search:
            kept = {"processor": processor}
        wanted = [name for name in ("onnx", "hugging-face", "spacy") if self.needs(name) and name not in kept]
        scripts = {"onnx": "onnx_int8.py", "hugging-face": "hugging_face.py", "spacy": "spacy_cnn.py"}
        every = max(1, len(self.data.all.articles) // SEARCHED_ARTICLES)
        texts = Texts.write(OUT / "texts" / "search.jsonl", self.data.all.articles[::every])
        with steps("best settings", len(wanted)) as bar:
            for name in wanted:
                bar.begin(scripts[name])
                # Chunks small enough that both processes work from beginning to end.
                chunk = {} if name == "hugging-face" else {"chunk": 8}
                kept[name] = {key: value for key, value in systems.best_settings(scripts[name], texts, **chunk).items() if key != "chunk"}
                path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
                bar.end()
        return kept

    def systems(self, cluster: Cluster | None) -> dict[str, System]:
        """The systems that are needed, in the order in which they take turns."""
        data, nerd, best = self.data, self.nerd, self.rivals()
        every = {
            "nerd": System("nerd annotate", lambda: systems.annotate(nerd, data)),
            "onnx": System("ONNX Runtime int8", lambda: systems.peer("onnx_int8.py", data.all, best["onnx"])),
            "nerd-fast": System("nerd annotate, fast profile", lambda: systems.annotate(nerd, data, FAST_PROFILE)),
            "spacy": System("spaCy CNN", lambda: systems.peer("spacy_cnn.py", data.all, best["spacy"])),
            "extract": System("nerd extract, PostgreSQL to PostgreSQL", lambda: systems.extract(nerd, data, cluster)),
            "nerd-one": System("nerd annotate, one worker", lambda: systems.annotate(nerd, data, "engine.workers=1")),
            "hugging-face": System("Hugging Face pipeline", lambda: systems.peer("hugging_face.py", data.fourth, best["hugging-face"])),
            "rust-bert": System("rust-bert predict", lambda: systems.rust_bert(data.fourth)),
            "step": System("the replaced step", lambda: systems.peer("replaced_step.py", data.few)),
        }
        return {name: system for name, system in every.items() if self.needs(name)}

    def train(self) -> None:
        """spaCy's pipeline, once."""
        if self.needs("spacy", "step", "accuracy-fast") and not (OUT / "spacy" / "complete").exists():
            say("training spaCy on the corpus (once, a quarter to half an hour on two quiet cores)")
            subprocess.run([sys.executable, PEERS / "spacy_train.py", "--corpus", self.data.corpus], cwd=ROOT, check=True)

    def databases(self, cluster: Cluster) -> None:
        """The databases that runs are copied from."""
        with steps("databases", 3) as bar:
            for name, articles in (("empty", []), ("warm", self.data.warm.articles), ("all", self.data.all.articles)):
                bar.begin(f"{len(articles)} articles")
                cluster.fill(cluster.create(f"bench_{name}"), ((article.id, article.text) for article in articles))
                bar.end()

    def probe(self, cluster: Cluster | None) -> None:
        """Everything that is not words per second; a probe that fails is told, its rows stay unmeasured."""
        chosen = {name: probe for name, probe in self._probes(cluster).items() if self.needs(name)}
        with steps("probe", len(chosen)) as bar:
            for name, probe in chosen.items():
                bar.begin(name)
                try:
                    probe()
                except (Failed, OSError) as error:
                    say(f"{name}: {error}")
                    for row in self.rows:
                        if name in row.needs:
                            row.note = f"failed: {str(error).splitlines()[-1]}"
                bar.end()

    def _probes(self, cluster: Cluster | None) -> dict:
        def accuracy() -> None:
            found = probes.accuracy(self.nerd, self.data.corpus, self.needs("accuracy-fast"))
            self.seen["f1"] = found
            self.set("precision-f1", found["f32"] - found["default"], f"{found['default']:.4f}, f32 {found['f32']:.4f}")
            if "fast" in found:
                self.set("spacy-f1", found["fast"] - found["spacy"], f"{found['fast']:.4f}, spaCy {found['spacy']:.4f}")

        def daemon() -> None:
            found = probes.daemon(self.nerd, cluster, self.data.fourth, 60 + self.data.fourth.words / SLOWEST)
            self.seen["daemon"] = found
            resident, peak = found["resident_2"], found["loading_peak_2"]
            self.set("padding", found["padding_percent"])
            self.set("memory", resident, f"nerd's own baseline {found['baseline_2']:.0f} MB")
            self.set("memory-worker", (found["resident_4"] - resident) / 2, "mean of the third and fourth")
            self.set("memory-peak", peak / resident, f"peak {peak:.0f} MB")

        def start() -> None:
            seconds = probes.starts(self.nerd, cluster)
            self.seen["starts"] = seconds
            self.set("start", sorted(seconds)[len(seconds) // 2], f"{min(seconds):.2f} to {max(seconds):.2f} s")

        def round_trips() -> None:
            trips, asked_once = probes.round_trips(self.nerd, cluster, self.data)
            self.set("round-trips", trips, f"all connections of `nerd extract`, by a relay; without what a connection asks once, {asked_once} in all")

        def claim() -> None:
            report = probes.claim()
            self.set("claim", *probes.worst_claim(report, source=False))
            self.set("claim-source", *probes.worst_claim(report, source=True))

        def gazetteer() -> None:
            found = probes.gazetteer()
            self.seen["gazetteer"] = found
            self.set("gazetteer-build", found["build_p99_ms"])
            times = found["python"]["mean_ms"] / found["match_mean_ms"]
            self.set("gazetteer-match", found["share_percent"], f"{found['match_mean_ms']:.2f} ms; the same step in Python takes {times:,.0f} times that")
            self.set("gazetteer-memory", found["resident_mb"], f"{found['scope_mb']:.1f} MB by its own account")

        def peak() -> None:
            found = probes.peak(self.data.fourth)
            self.seen["peak"] = found
            spread = f"{100 * found['lowest_share']:.0f} to {100 * found['highest_share']:.0f} %"
            self.set("peak", 100 * found["share"], f"{spread}; {found['words_per_second_at_peak']:,.0f} words/s at the peak, had they nothing else")

        return {"start": start, "daemon": daemon, "round-trips": round_trips, "accuracy": accuracy, "peak": peak, "claim": claim, "gazetteer": gazetteer}

    def ceilings(self, rounds: Rounds) -> None:
        """To each ratio that misses its target: what the kernel's peak would make of it, were nothing else to be computed. To the one of
        two workers over one: what this machine's second core adds to the bare kernel."""
        found = self.seen.get("peak")
        for row in self.rows:
            if found and row.name == "workers":
                row.note = f"the bare kernel, which shares nothing: {found['peak_of_all_threads_over_one']:.2f}×"
            above, below = RATIOS.get(row.name, (None, None))
            if found and (above, below) != SELF and above == SELF[0] and below in rounds.outcomes and row.verdict == "not met":
                row.note = f"at the kernel's peak, with nothing else to compute: {found['words_per_second_at_peak'] / rounds.speed(below):.1f}×"

    def command(self) -> str:
        """What was asked for, as `make` is asked."""
        asked = self.options
        parts = ["make bench"] + (["DATA=…"] if asked.data else []) + (["QUICK=1"] if asked.quick else [])
        parts += [f"ARTICLES={asked.articles}"] if asked.articles and not asked.quick else []
        parts += [f"ROUNDS={asked.rounds}"] if not asked.quick else []
        parts += [f'ONLY="{" ".join(asked.only)}"'] if asked.only else []
        return " ".join(parts)

    def facts(self) -> dict:
        """The conditions, for the report."""
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": machine.describe(),
            "articles": len(self.data.all.articles),
            "words": self.data.all.words,
            "source": self.options.data.name if self.options.data else "the sample articles, repeated",
            "rounds": self.options.rounds,
            "command": self.command(),
            "probes": self.seen,
        }


def main() -> int:
    rows = all_rows()
    options = arguments(rows)
    if not options.nerd.exists():
        raise SystemExit(f"{options.nerd} is missing: `make bench` builds it")
    bench = Bench(options, [row for row in rows if not options.only or row.name in options.only])
    with ExitStack() as stack:
        cluster = None
        if bench.needs(*DATABASE):
            cluster = stack.enter_context(Cluster(options.nerd))
            bench.databases(cluster)
        bench.train()
        known = bench.systems(cluster)
        rounds = play(known, options.rounds) if known else Rounds()
        rounds.fill(row for row in bench.rows if not bench.missing.keys() & set(row.needs))
        bench.probe(cluster)
        bench.ceilings(rounds)
    plots.systems(OUT, known, rounds)
    plots.ratios(OUT, bench.rows, rounds)
    path = report.write(OUT, bench.rows, known, rounds, bench.facts())
    for row in bench.rows:
        style = {"met": "green", "not met": "bold red"}.get(row.verdict, "dim")
        sign = "≥" if row.bound == ">=" else "≤"
        line = f"{row.verdict:12} {report.number(row.measured, row.unit):>10}  {sign} {report.number(row.target, row.unit):8} {row.title}"
        CONSOLE.print(line, style=style, markup=False, soft_wrap=True)
    say(f"report: {path.relative_to(ROOT)}")
    return int(any(row.verdict == "not met" for row in bench.rows))


if __name__ == "__main__":
    sys.exit(main())
