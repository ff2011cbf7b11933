#!/usr/bin/env python3
"""Pictures of dashboards/nerd.json for the README: `make dashboard-picture`, `make dashboard-picture MINUTES=15`.

A real daemon on a private PostgreSQL works off what arrives, a real Prometheus scrapes it and evaluates the project's rules, and
draw.mjs draws the dashboard over what that Prometheus answers, by Grafana's own components. No Grafana server takes part. Standard
library only; everything it makes lies in target/picture/, and nothing of it runs on when it has ended.
"""

import argparse
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "docs" / "pictures"
SCRATCH = ROOT / "target" / "picture"
PACKAGES = SCRATCH / "packages"
SETUP = ROOT / "deploy" / "setup"
sys.path[:0] = [str(ROOT / "deploy" / "demo"), str(ROOT / "benches")]

import demo  # noqa: E402
from measure import mixture  # noqa: E402

#: A load takes less than a second: a slower scrape finds the counter of a new process where that of the old one was, and sees none.
SCRAPE_SECONDS = 1
#: The interval that the dashboard's data source is told, so that a rate is one of 20 seconds and not of a batch or two.
INTERVAL_SECONDS = 5
SOURCES = ["gazette", "herald", "courier"]
#: Articles a second in the mean; the part of them that are copies of a text that another source has had.
PACE, COPIES = 5, 0.2
#: What happens when, as parts of the time: a deploy, a place that is new in a gazetteer, a crawl that brings many articles at once.
DEPLOY, PLACE, CRAWL, CRAWLED = 0.3, 0.45, 0.6, 300


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def packages():
    """What package-lock.json pins, installed once. Their scripts are not run: nothing here needs them."""
    shutil.which("npm") or demo.fail("no npm found: install Node.js 20 or later")
    wanted = [HERE / name for name in ("package.json", "package-lock.json", ".npmrc")]
    installed = PACKAGES / "installed"
    state = "".join(path.read_text() for path in wanted)
    if installed.exists() and installed.read_text() == state:
        return
    demo.step("Grafana's libraries, as package-lock.json pins them")
    PACKAGES.mkdir(parents=True, exist_ok=True)
    for path in wanted:
        shutil.copy(path, PACKAGES)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=PACKAGES, check=True)
    installed.write_text(state)


def places():
    """The places and organisations of the sample articles: what a gazetteer of their region would hold."""
    lines = (ROOT / "tests" / "data" / "reference.jsonl").read_text(encoding="utf-8").splitlines()
    names = {entity["text"] for line in lines for entity in json.loads(line)["entities"] if entity["label"] in ("FAC", "LOC", "ORG")}
    return sorted(name for name in names if "\n" not in name)


def gazetteers(database):
    lines = ["BEGIN;"]
    for source in SOURCES:
        lines.append(f"INSERT INTO sources (id, host, host_norm) VALUES ('{source}', '{source}.example', '{source}.example');")
    lines.append("COPY gazetteer (id, name, name_norm, category, source_id) FROM STDIN;")
    for source in SOURCES:
        for number, name in enumerate(places()):
            lines.append("\t".join([f"{source}-{number}", demo.copy_field(name), demo.copy_field(name.lower()), "landmark", source]))
    database.run("\n".join([*lines, "\\.", "COMMIT;", ""]))


class Prometheus:
    """Scrapes one address as the job `nerd`, with the project's rules."""

    def __init__(self, target):
        directory = SCRATCH / "prometheus"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        rules = [str(ROOT / "dashboards" / name) for name in ("recording.yml", "alerts.yml")]
        configuration = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "nerd", "static_configs": [{"targets": [target]}]}],
        }
        # JSON is YAML too.
        (directory / "prometheus.yml").write_text(json.dumps(configuration))
        self.url = f"http://{free_address()}"
        command = [
            output(SETUP / "prometheus.sh", "path", "prometheus"),
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(directory / "log").open("w"))

    def number(self, expression):
        """The number of the one series that an expression gives; None while there is none."""
        if self.process.poll() is not None:
            demo.fail(f"Prometheus ended with {self.process.returncode}:\n{(SCRATCH / 'prometheus' / 'log').read_text()[-2000:]}")
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                result = json.load(answer)["data"]["result"]
        except OSError:
            return None
        return float(result[0]["value"][1]) if result else None

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Arrivals:
    """Articles as crawlers bring them: more and fewer by turns, some of them a text that another source has had."""

    def __init__(self, database, seed=1):
        self.database = database
        self.random = random.Random(seed)
        self.texts = mixture.articles(demo.SAMPLES[0].parent, seed)
        self.recent, self.number = [], 0

    def bring(self, count):
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        links, articles = [], []
        for _ in range(count):
            if self.recent and self.random.random() < COPIES:
                text = self.random.choice(self.recent)
            else:
                text = next(self.texts)[1]
                self.recent = [*self.recent[-200:], text]
            name, source = f"article-{self.number}", self.random.choice(SOURCES)
            self.number += 1
            address = f"https://{source}.example/{name}"
            links.append("\t".join([name, address, source, source, now, "article"]))
            body = demo.copy_field(text)
            articles.append("\t".join([name, name, address, name, "extracted", now, now, body, body]))
        if articles:
            copies = ["BEGIN;", "COPY candidate_links (id, url, source, source_id, discovered_at, status) FROM STDIN;", *links, "\\."]
            copies += ["COPY articles (id, candidate_link_id, url, title, status, created_at, extracted_at, content, text) FROM STDIN;"]
            self.database.run("\n".join([*copies, *articles, "\\.", "COMMIT;", ""]))

    def second(self, at):
        """As many as arrive within a second; two waves an hour's picture would have, in minutes here."""
        mean = PACE * (1 + 0.6 * math.sin(2 * math.pi * at / 150))
        self.bring(sum(self.random.random() < mean / 20 for _ in range(20)))


def live(database, prometheus, start, minutes):
    """The daemon's minutes: articles, a deploy, a new place, a crawl. `start` starts a daemon; returns the one that runs at the end."""
    daemon, arrivals = start(), Arrivals(database)
    begun, done = time.monotonic(), set()
    while (at := time.monotonic() - begun) < minutes * 60:
        part = at / (minutes * 60)
        if part > DEPLOY and "deploy" not in done:
            done.add("deploy")
            daemon.stop() == 0 or demo.fail("the daemon did not drain")
            daemon = start()
        if part > PLACE and "place" not in done:
            done.add("place")
            database.run(f"INSERT INTO gazetteer (id, name, category, source_id) VALUES ('new', 'Tannery Street Park', 'leisure', '{SOURCES[0]}')")
        if part > CRAWL and "crawl" not in done:
            done.add("crawl")
            arrivals.bring(CRAWLED)
        arrivals.second(at)
        daemon.metrics()
        demo.bar(int(at), int(minutes * 60), f"{prometheus.number('sum(nerd_articles_total)') or 0:,.0f} articles since the start") if int(at) % 5 == 0 else None
        time.sleep(max(0.0, 1 - (time.monotonic() - begun - at)))
    return daemon


def ended(*_):
    """So that SIGTERM ends what was started, too, and a second one does not keep that from being done."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how long the daemon works before it is drawn (default: %(default)s)")
    parser.add_argument("--light", action="store_true", help="Grafana's light theme")
    options = parser.parse_args()
    demo.NERD.exists() or demo.fail("target/release/nerd is missing: run `make dashboard-picture`")
    signal.signal(signal.SIGTERM, ended)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    demo.HOME, demo.DATABASE = SCRATCH, "nerd_picture"
    packages()
    chromium = output(SETUP / "chromium.sh", "path")
    address = free_address()
    database = prometheus = None
    daemons = []

    def start():
        daemons.append(demo.Daemon(database, f"http.address={address}", "claim.batch_articles=8"))
        return daemons[-1]

    try:
        demo.step("A private PostgreSQL, a Prometheus, and then the daemon")
        database = demo.Database()
        database.run(f"CREATE DATABASE {demo.DATABASE};", database.admin)
        demo.nerd(["migrate", "--with-host-tables", "--with-trigger"], database).returncode and demo.fail("the migration failed")
        gazetteers(database)
        # First, so that it sees the counters at 0 and the engines built.
        prometheus = Prometheus(address)
        while prometheus.number("vector(1)") is None:
            time.sleep(0.2)
        daemon = live(database, prometheus, start, options.minutes)
        demo.step("The dashboard over its figures")
        command = ["node", HERE / "draw.mjs", "--packages", PACKAGES, "--chromium", chromium, "--prometheus", prometheus.url, "--out", OUT]
        command += ["--minutes", f"{options.minutes:g}", "--interval", str(INTERVAL_SECONDS), "--mode", "light" if options.light else "dark"]
        drawn = subprocess.run(command, cwd=ROOT).returncode
        code = daemon.stop()
    finally:
        for one in daemons:
            if one.process.poll() is None:
                one.process.kill()
        if prometheus:
            prometheus.stop()
        if database:
            subprocess.run([SETUP / "postgres.sh", "remove", SCRATCH / "postgres"], check=False)
        shutil.rmtree(SCRATCH / "prometheus", ignore_errors=True)
    if drawn or code:
        demo.fail("nothing was drawn" if drawn else f"the daemon ended with {code}")
    for picture in sorted(OUT.glob("dashboard*.png")):
        print(f"  {os.path.relpath(picture, ROOT)}  {picture.stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
