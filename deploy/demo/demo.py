#!/usr/bin/env python3
"""The whole way on a private PostgreSQL: migrate, load the sample articles, run the daemon until the queue is empty, show
what came out, and print the receipt. Standard library only; everything it makes lies in .demo/."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".demo"
NERD = ROOT / "target" / "release" / "nerd"
SAMPLES = sorted((ROOT / "tests" / "data" / "articles").glob("*.txt"))
DATABASE = "nerd_demo"
COLOURS = {"PERSON": 33, "ORG": 36, "LOC": 32, "FAC": 34, "NORP": 35}
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text, *codes):
    return f"\033[{';'.join(map(str, codes))}m{text}\033[0m" if COLOUR else text


def step(text):
    print(paint(f"▸ {text}", 1), flush=True)


def fail(text):
    sys.exit(f"demo: {text}")


def psql_binary():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), reverse=True)
    return str(found[0]) if found else shutil.which("psql") or fail("no psql found: install PostgreSQL's client")


class Database:
    """The private cluster, spoken to by psql."""

    def __init__(self):
        script = ROOT / "deploy" / "setup" / "postgres.sh"
        started = subprocess.run([script, "start", HOME / "postgres", "--idle-stop", "900"], stdout=subprocess.PIPE, text=True)
        if started.returncode:
            fail("the private PostgreSQL did not start; see the message above")
        self.admin = started.stdout.strip()
        self.url = self.admin.rsplit("/", 1)[0] + "/" + DATABASE
        self.binary = psql_binary()

    def run(self, sql, url=None):
        command = [self.binary, url or self.url, "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        done = subprocess.run(command, input=sql, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            fail(f"psql: {done.stderr.strip()}")
        return done.stdout

    def json(self, sql):
        return json.loads(self.run(f"SELECT coalesce(json_agg(x), '[]') FROM ({sql}) AS x"))


def copy_field(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def load(database):
    lines = ["BEGIN;", "COPY candidate_links (id, url, source, discovered_at, status) FROM STDIN;"]
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    for sample in SAMPLES:
        lines.append("\t".join([f"link-{sample.stem}", f"https://gazette.example/{sample.stem}", "gazette", now, "article"]))
    lines += ["\\.", "COPY articles (id, candidate_link_id, url, title, status, created_at, extracted_at, content, text) FROM STDIN;"]
    for sample in SAMPLES:
        text = sample.read_text(encoding="utf-8")
        title = text.split("\n", 1)[0]
        row = [sample.stem, f"link-{sample.stem}", f"https://gazette.example/{sample.stem}", title, "extracted", now, now, text, text]
        lines.append("\t".join(map(copy_field, row)))
    lines += ["\\.", "COMMIT;", ""]
    database.run("\n".join(lines))


def nerd(arguments, database, **options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NERD_")}
    environment["DATABASE_URL"] = database.url
    return subprocess.run([NERD, *arguments], cwd=ROOT, env=environment, **options)


class Daemon:
    """`nerd run`, watched by its own metrics."""

    def __init__(self, database, *settings):
        self.log = HOME / "nerd.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NERD_")}
        environment.update(DATABASE_URL=database.url, NO_COLOR="1")
        command = [NERD, "run"]
        for setting in settings:
            command += ["--set", setting]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=self.log.open("w"), stdout=subprocess.DEVNULL)
        self.address = None

    def metrics(self):
        """Every sample by its name with labels; empty while the daemon does not serve yet."""
        if self.process.poll() is not None:
            fail(f"the daemon ended with {self.process.returncode}:\n{self.log.read_text()}")
        if not self.address:
            found = re.search(r"address=(\S+)", self.log.read_text())
            if not found:
                return {}
            self.address = found[1]
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def bar(done, total, note):
    filled = round(30 * done / total)
    line = f"  {'█' * filled}{'·' * (30 - filled)} {done:3}/{total} articles  {note}"
    if sys.stdout.isatty():
        print(f"\r{line}\033[K", end="" if done < total else "\n", flush=True)
    elif done == total:
        print(line, flush=True)


def work(daemon, total):
    """Waits until every article is settled; returns the last metrics and the seconds of work."""
    begun, last = None, {}
    while True:
        last = daemon.metrics() or last
        settled = sum(last.get(f'nerd_articles_total{{outcome="{o}"}}', 0) for o in ("done", "quarantined"))
        if begun is None and last.get("nerd_in_flight_articles", 0) > 0:
            begun = time.monotonic()
        seconds = time.monotonic() - begun if begun else 0.0
        bar(int(settled), total, f"{last.get('nerd_words_total', 0) / seconds:,.0f} words/s" if seconds > 0.2 else "")
        if settled >= total:
            return last, max(seconds, 0.05)
        time.sleep(0.05)


def highlight(text, rows, limit=900):
    out, at = [], 0
    for row in sorted(rows, key=lambda r: r["meta"]["start_char"]):
        start, end, label = row["meta"]["start_char"], row["meta"]["end_char"], row["entity_label"]
        if start < at or end > limit:
            continue
        out += [text[at:start], paint(f"[{text[start:end]} ", 1, COLOURS.get(label, 37)), paint(label, 2), paint("]", 1, COLOURS.get(label, 37))]
        at = end
    rest = text[at:max(at, limit)]
    return "".join(out) + (rest.rsplit(" ", 1)[0] + " …" if len(text) > limit else rest)


def show_articles(database, count=3):
    step("Three articles, the first mention of each name as its row in article_entities says")
    wanted = database.json(
        "SELECT a.id, a.text FROM articles a JOIN article_entities e ON e.article_id = a.id"
        f" GROUP BY a.id ORDER BY count(DISTINCT e.entity_label) DESC, count(*) DESC, a.id LIMIT {count}"
    )
    for article in wanted:
        rows = database.json(f"SELECT entity_label, meta FROM article_entities WHERE article_id = '{article['id']}' AND entity_label <> 'SENTINEL'")
        shown = highlight(article["text"], rows)
        print("\n" + "\n".join("  " + line for line in shown.splitlines()))
    print()


def show_top(database, count=6):
    step("The names found in most articles")
    columns = []
    for label in COLOURS:
        rows = database.json(
            f"SELECT min(entity_text) AS name, count(*) AS n FROM article_entities WHERE entity_label = '{label}'"
            f" GROUP BY entity_norm ORDER BY n DESC, name LIMIT {count}"
        )
        columns.append((label, [f"{row['name'][:24]} {row['n']}" for row in rows]))
    widths = [max([len(label), *map(len, names)]) for label, names in columns]
    print("  " + "  ".join(paint(label.ljust(width), 1, COLOURS[label]) for (label, _), width in zip(columns, widths)))
    for line in range(count):
        print("  " + "  ".join((names[line] if line < len(names) else "").ljust(width) for (_, names), width in zip(columns, widths)))
    print()


def receipt(metrics, seconds, total, rows):
    step("The receipt, from /metrics")
    loads = {n: v for n, v in metrics.items() if n.startswith("nerd_model_loads_total") and v}
    per_worker = ", ".join(f"worker {re.search('worker=.([0-9]+)', n)[1]}: {v:.0f} ({re.search('reason=.([a-z]+)', n)[1]})" for n, v in sorted(loads.items()))
    megabytes = lambda name: f"{metrics.get(name, 0) / 2**20:,.0f} MB"
    outcome = lambda name: f"{metrics.get(f'nerd_articles_total{{outcome=' + chr(34) + name + chr(34) + '}', 0):.0f}"
    lines = [
        ("weights read from disk", f"{metrics['nerd_model_weight_reads_total']:.0f} time"),
        ("model loads", per_worker),
        ("articles in", str(total)),
        ("done / retried / quarantined", " / ".join(map(outcome, ("done", "retried", "quarantined")))),
        ("rows written", str(rows)),
        ("words", f"{metrics['nerd_words_total']:,.0f}, {metrics['nerd_words_total'] / seconds:,.0f} a second"),
        ("resident memory, warmed up", megabytes("nerd_memory_baseline_bytes")),
        ("resident memory, at the end", megabytes("process_resident_memory_bytes")),
    ]
    for name, value in lines:
        print(f"  {name:30} {value}")
    print()


def main():
    if not NERD.exists():
        fail("target/release/nerd is missing: run `make demo`")
    HOME.mkdir(exist_ok=True)
    step("A private PostgreSQL in .demo/ (never the machine's own)")
    database = Database()
    database.run(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE);", database.admin)
    database.run(f"CREATE DATABASE {DATABASE};", database.admin)
    step("nerd migrate --with-host-tables --with-trigger")
    if nerd(["migrate", "--with-host-tables", "--with-trigger"], database).returncode:
        fail("the migration failed")
    step("nerd run, and then the sample articles arrive")
    daemon = Daemon(database, "http.address=127.0.0.1:0", "claim.batch_articles=8")
    try:
        while not daemon.metrics().get('nerd_workers{state="ready"}'):
            time.sleep(0.05)
        load(database)
        metrics, seconds = work(daemon, len(SAMPLES))
        metrics = daemon.metrics()
        code = daemon.stop()
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
    if code:
        fail(f"the daemon ended with {code} after SIGTERM:\n{daemon.log.read_text()}")
    rows = int(database.run("SELECT count(*) FROM article_entities"))
    show_articles(database)
    show_top(database)
    receipt(metrics, seconds, len(SAMPLES), rows)
    step("nerd prove-loads")
    proved = nerd(["prove-loads"], database).returncode
    print()
    step("To keep it running against your own database")
    print(
        "  export DATABASE_URL=postgresql://user:password@host:5432/name\n"
        "  target/release/nerd check                        # configuration, model, database\n"
        "  target/release/nerd migrate --with-trigger       # the schema `nerd`; your tables stay as they are\n"
        "  target/release/nerd run                          # or the container: see README.md\n"
        "  The demo's daemon was stopped; its log is .demo/nerd.log. `make clean-demo` removes what was made."
    )
    sys.exit(proved)


if __name__ == "__main__":
    main()
