"""The promises in numbers: what is measured, what it must be, and whether it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Row:
    """A row of the report's table."""

    name: str
    title: str
    #: At least (`>=`) or at most (`<=`) the target.
    bound: str
    target: float
    unit: str
    #: The systems or probes that it is computed from.
    needs: tuple[str, ...]
    measured: float | None = None
    #: Lowest and highest over the rounds.
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        met = self.measured >= self.target if self.bound == ">=" else self.measured <= self.target
        return "met" if met else "not met"


def all_rows() -> list[Row]:
    """Every row, nothing measured yet."""
    return [
        Row("hugging-face", "words/s against Hugging Face `pipeline`, f32", ">=", 5, "×", ("nerd", "hugging-face")),
        Row("rust-bert", "words/s against rust-bert's own `predict`, f32", ">=", 10, "×", ("nerd", "rust-bert")),
        Row("onnx", "words/s against ONNX Runtime int8, same weights", ">=", 1.1, "×", ("nerd", "onnx")),
        Row("spacy", "words/s of the fast profile against spaCy's CNN", ">=", 1.0, "×", ("nerd-fast", "spacy")),
        Row("spacy-f1", "span F1 of the fast profile over spaCy's CNN, dev", ">=", 0.04, "", ("accuracy", "accuracy-fast")),
        Row("step", "words/s against the step that nerd replaces", ">=", 10, "×", ("nerd", "step")),
        Row("step-fast", "the same, fast profile", ">=", 25, "×", ("nerd-fast", "step")),
        Row("precision-f1", "span F1 lost by the default precision against f32, dev", "<=", 0.003, "", ("accuracy",)),
        Row("daemon", "words/s from PostgreSQL to PostgreSQL against `nerd annotate`", ">=", 0.95, "×", ("nerd", "extract")),
        Row("workers", "words/s of two workers against one", ">=", 1.9, "×", ("nerd", "nerd-one")),
        Row("padding", "padding of all tokens computed", "<=", 3, "%", ("daemon",)),
        Row("peak", "byte products that the model needs, share of the kernel's peak", ">=", 60, "%", ("peak",)),
        Row("memory", "resident memory after warm-up, 2 workers", "<=", 300, "MB", ("daemon",)),
        Row("memory-worker", "resident memory of each further worker", "<=", 40, "MB", ("daemon",)),
        Row("memory-peak", "peak while loading over resident memory after warm-up", "<=", 1.5, "×", ("daemon",)),
        Row("start", "from exec to ready, page cache warm", "<=", 1.5, "s", ("start",)),
        Row("claim", "p99 of a claim of 500, 5 million articles, 1 million pending", "<=", 25, "ms", ("claim",)),
        Row("claim-source", "the same, of one source, a quarter of the articles", "<=", 25, "ms", ("claim",)),
        Row("gazetteer-build", "p99 of indexing a gazetteer of 8,500 rows, 300 of them held", "<=", 50, "ms", ("gazetteer",)),
        Row("gazetteer-match", "matching an article, share of its inference", "<=", 5, "%", ("gazetteer",)),
        Row("gazetteer-memory", "memory of such a gazetteer, resident", "<=", 10, "MB", ("gazetteer",)),
        Row("round-trips", "round trips to PostgreSQL an article", "<=", 0.1, "", ("round-trips",)),
    ]


#: Rows that are a ratio of two systems' words per second: numerator, denominator.
RATIOS = {
    "hugging-face": ("nerd", "hugging-face"),
    "rust-bert": ("nerd", "rust-bert"),
    "onnx": ("nerd", "onnx"),
    "spacy": ("nerd-fast", "spacy"),
    "step": ("nerd", "step"),
    "step-fast": ("nerd-fast", "step"),
    "daemon": ("extract", "nerd"),
    "workers": ("nerd", "nerd-one"),
}
