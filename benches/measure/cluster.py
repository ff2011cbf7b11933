"""A private PostgreSQL with the host's tables, filled with articles."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from .places import OUT, POSTGRES, ROOT
from .program import run


class Cluster:
    """A cluster of its own in the directory of measurements, with the durability that PostgreSQL has by default."""

    def __init__(self, nerd: Path) -> None:
        self.nerd = nerd
        self.directory = OUT / "postgres"
        subprocess.run([POSTGRES, "ensure"], cwd=ROOT, check=True)
        started = subprocess.run([POSTGRES, "start", self.directory], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        self.admin = started.stdout.strip()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([POSTGRES, "stop", self.directory], cwd=ROOT, check=False)

    def url(self, database: str) -> str:
        return self.admin.rsplit("/", 1)[0] + "/" + database

    def create(self, database: str, template: str | None = None) -> str:
        """A database anew, a copy of the template or with the tables of host and nerd; its URL."""
        with psycopg.connect(self.admin, autocommit=True) as connection:
            name = sql.Identifier(database)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            like = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name) + like)
            # Each run starts from the same state: what the copy left to write is written before.
            connection.execute("CHECKPOINT")
        url = self.url(database)
        if not template:
            run([self.nerd, "migrate", "--with-host-tables", "--with-trigger"], DATABASE_URL=url)
        return url

    def fill(self, url: str, articles: Iterable[tuple[str, str]]) -> None:
        """Adds articles (id, text) that are ready to be claimed."""
        with psycopg.connect(url) as connection:
            add(connection, articles)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ANALYZE")


def add(connection: psycopg.Connection, articles: Iterable[tuple[str, str]]) -> None:
    """Adds articles (id, text) and their links in one transaction."""
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = list(articles)
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy("COPY candidate_links (id, url, source, discovered_at, status) FROM STDIN") as copy:
            for name, _ in rows:
                copy.write_row((name, f"https://gazette.example/{name}", "gazette", now, "article"))
        columns = "id, candidate_link_id, url, title, status, created_at, extracted_at, content, text"
        with cursor.copy(f"COPY articles ({columns}) FROM STDIN") as copy:
            for name, text in rows:
                copy.write_row((name, name, f"https://gazette.example/{name}", name, "extracted", now, now, text, text))
