"""Where things lie, relative to the project."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Everything that a measurement makes.
OUT = ROOT / "target" / "bench"
PEERS = ROOT / "benches" / "peers"
RECIPE = ROOT / "models" / "recipe"
MODEL = ROOT / "models" / "news-ner"
SAMPLES = ROOT / "tests" / "data" / "articles"
NERD = ROOT / "target" / "release" / "nerd"
RUST_BERT = ROOT / "target" / "release" / "examples" / "rust_bert"
POSTGRES = ROOT / "deploy" / "setup" / "postgres.sh"
