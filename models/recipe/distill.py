"""Distils a student of fewer layers from a trained model directory: `python distill.py --data newswire --out ../news-ner-fast`.

The student starts as every other layer of its teacher and learns from three things at once: the teacher's soft labels (Hinton
et al., "Distilling the Knowledge in a Neural Network", 2015), what leaves the teacher's layers (Jiao et al., "TinyBERT", 2020;
the widths are equal, so no projection is needed), and the corpus's own labels.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch
from torch.nn import functional
from tqdm import tqdm

import corpus
import package
from encoder import TokenClassifier
from reference import BUNDLED, Reference
from train import IGNORED, batches, examples, padded

TEMPERATURE = 2.0


def student_of(teacher: TokenClassifier, config: dict, taught: list[int], labels: int) -> TokenClassifier:
    """A copy of the teacher with only the layers `taught`."""
    student = TokenClassifier(config, labels)
    weights = {}
    for name, tensor in teacher.state_dict().items():
        if ".layer." in name:
            before, after = name.split(".layer.")
            index, rest = after.split(".", 1)
            if int(index) not in taught:
                continue
            name = f"{before}.layer.{taught.index(int(index))}.{rest}"
        weights[name] = tensor.clone()
    student.load_state_dict(weights)
    return student


def loss_of(student_states: list, student_logits, teacher_states: list, teacher_logits, gold, mask, taught: list[int]):
    """Soft labels, hidden states and hard labels, weighed 1 : 1 : 0.3."""
    real = mask.bool()
    soft = functional.kl_div(
        functional.log_softmax(student_logits[real].float() / TEMPERATURE, -1),
        functional.log_softmax(teacher_logits[real].float() / TEMPERATURE, -1),
        log_target=True,
        reduction="batchmean",
    ) * TEMPERATURE**2
    hidden = sum(
        functional.mse_loss(mine[real].float(), teacher_states[index + 1][real].float())
        for mine, index in zip(student_states[1:], taught)
    )
    hard = functional.cross_entropy(student_logits.float().flatten(0, 1), gold.flatten(), ignore_index=IGNORED)
    return soft + hidden + 0.3 * hard


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True, help="directory with the corpus's train/")
    arguments.add_argument("--teacher", type=Path, default=BUNDLED)
    arguments.add_argument("--out", type=Path, required=True, help="the model directory to write")
    arguments.add_argument("--name", default="news-ner-fast")
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--learning-rate", type=float, default=2e-4)
    arguments.add_argument("--tokens-per-step", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=7)
    options = arguments.parse_args()

    torch.manual_seed(options.seed)
    order = random.Random(options.seed)
    manifest = json.loads((options.teacher / "manifest.json").read_text())
    config = json.loads((options.teacher / "config.json").read_text())
    reference = Reference(options.teacher)
    teacher = reference.network
    # The last of each pair of layers.
    taught = list(range(1, config["num_hidden_layers"], 2))
    config["num_hidden_layers"] = len(taught)
    student = student_of(teacher, config, taught, len(manifest["labels"]))

    windows = examples(corpus.read(options.data / "train"), reference.tokenizer, manifest["max_pieces"])
    plans = [batches(windows, options.tokens_per_step, order) for _ in range(options.epochs)]
    steps = sum(map(len, plans))
    groups = [
        {"params": [p for p in student.parameters() if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in student.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / warm, max(0.0, (steps - s) / (steps - warm))))

    student.train()
    progress = tqdm(total=steps, unit="step", mininterval=5)
    mean = None
    for plan in plans:
        for batch in plan:
            ids, kinds, gold, mask = padded(batch)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                with torch.no_grad():
                    teacher_states = teacher.hidden_states(ids, kinds, mask)
                    teacher_logits = teacher.head(teacher_states[-1])
                states = student.hidden_states(ids, kinds, mask)
                logits = student.head(states[-1])
            loss = loss_of(states, logits, teacher_states, teacher_logits, gold, mask, taught)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
            progress.update()
            progress.set_postfix(loss=f"{mean:.4f}", refresh=False)
    progress.close()
    student.eval()
    package.write(options.out, options.name, student, config, reference.tokenizer, options.teacher, manifest["labels"], manifest["max_pieces"])


if __name__ == "__main__":
    main()
