"""Distils a smaller student from a trained model directory: `python distill.py --data newswire --out ../news-ner-fast`.

The student starts as some of its teacher's layers and learns from three things at once: the teacher's soft labels (Hinton et
al., "Distilling the Knowledge in a Neural Network", 2015), what leaves the teacher's layers (Jiao et al., "TinyBERT", 2020; the
widths are equal, so no projection is needed), and the corpus's own labels. The teacher reads every window once, before.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

import corpus
import package
from encoder import TokenClassifier
from reference import BUNDLED, Reference
from train import IGNORED, autocast, batches, descend, examples, padded

TEMPERATURE = 2.0
HARD = 0.3
"""The weight of the corpus's labels; soft labels and hidden states weigh 1 each."""


@dataclass(frozen=True)
class Lesson:
    """What the teacher said of all windows, piece after piece, in half precision."""

    #: (pieces, labels)
    logits: Tensor
    #: (taught layers, pieces, width)
    states: Tensor

    def of(self, batch: list) -> tuple[Tensor, Tensor]:
        """Logits and states of a batch's pieces, without padding, in f32."""
        places = torch.cat([torch.arange(begin, begin + len(ids)) for ids, _, _, begin in batch])
        return self.logits[places].float(), self.states[:, places].float()


def numbered(windows: list) -> list:
    """The windows with the number of the first of their pieces as a fourth column."""
    out, begin = [], 0
    for ids, kinds, gold in windows:
        out.append((ids, kinds, gold, begin))
        begin += len(ids)
    return out


@torch.no_grad()
def lesson_of(teacher: TokenClassifier, windows: list, taught: list[int], budget: int) -> Lesson:
    """Runs the teacher over numbered windows."""
    count, width = sum(len(row[0]) for row in windows), teacher.classifier.in_features
    logits = torch.empty(count, teacher.classifier.out_features, dtype=torch.float16)
    states = torch.empty(len(taught), count, width, dtype=torch.float16)
    for batch in tqdm(batches(windows, budget, random.Random(0)), unit="batch", desc="teacher", mininterval=5):
        ids, kinds, _, mask = padded(batch)
        with autocast():
            layers = teacher.hidden_states(ids, kinds, mask)
            scores = teacher.head(layers[-1])
        for row, (pieces, _, _, begin) in enumerate(batch):
            places = slice(begin, begin + len(pieces))
            logits[places] = scores[row, : len(pieces)]
            for place, index in enumerate(taught):
                states[place, places] = layers[index + 1][row, : len(pieces)]
    return Lesson(logits, states)


def student_of(teacher: TokenClassifier, config: dict, taught: list[int]) -> TokenClassifier:
    """A copy of the teacher's layers `taught`, each with the weightiest neurons of its inner width, as many as `config` asks for."""
    weights = {name: tensor.clone() for name, tensor in teacher.state_dict().items() if ".layer." not in name}
    for place, index in enumerate(taught):
        layer = teacher.bert["encoder"]["layer"][index]
        # A neuron weighs what it takes in times what it gives out.
        weight = layer.intermediate["dense"].weight.norm(dim=1) * layer.output.dense.weight.norm(dim=0)
        kept = weight.topk(config["intermediate_size"]).indices.sort().values
        for name, tensor in layer.state_dict().items():
            if name.startswith("intermediate."):
                tensor = tensor[kept]
            elif name == "output.dense.weight":
                tensor = tensor[:, kept]
            weights[f"bert.encoder.layer.{place}.{name}"] = tensor.clone()
    student = TokenClassifier(config, teacher.classifier.out_features)
    student.load_state_dict(weights)
    return student


def loss_of(student: TokenClassifier, lesson: Lesson, batch: list) -> Tensor:
    """Soft labels, hidden states and hard labels of a batch, weighed 1 : 1 : `HARD`."""
    ids, kinds, gold, mask = padded(batch)
    with autocast():
        layers = student.hidden_states(ids, kinds, mask)
        logits = student.head(layers[-1])
    real = mask.bool()
    taught_logits, taught_states = lesson.of(batch)
    mine, gold = logits[real].float(), gold[real]
    # Words are judged by their first pieces; of the others the teacher was never told anything.
    first = gold != IGNORED
    soft = functional.kl_div(
        functional.log_softmax(mine[first] / TEMPERATURE, -1),
        functional.log_softmax(taught_logits[first] / TEMPERATURE, -1),
        log_target=True,
        reduction="batchmean",
    ) * TEMPERATURE**2
    # The share of the teacher's variance that is missed, so that layers weigh the same whatever their scale.
    missed = [functional.mse_loss(layer[real].float(), state) / state.var() for layer, state in zip(layers[1:], taught_states)]
    hard = functional.cross_entropy(mine[first], gold[first])
    return soft + sum(missed) / len(missed) + HARD * hard


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True, help="directory with the corpus's train/")
    arguments.add_argument("--teacher", type=Path, default=BUNDLED)
    arguments.add_argument("--out", type=Path, required=True, help="the model directory to write, anew after every epoch")
    arguments.add_argument("--name", default="news-ner-fast")
    arguments.add_argument("--layers", type=int, nargs="+", default=[1, 3, 5], help="the teacher's layers to keep, from 0")
    arguments.add_argument("--inner", type=int, default=768, help="the inner width of a layer")
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument("--learning-rate", type=float, default=5e-4)
    arguments.add_argument("--tokens-per-step", type=int, default=2000)
    arguments.add_argument("--dropout", type=float, default=0.05)
    arguments.add_argument("--seed", type=int, default=7)
    options = arguments.parse_args()

    torch.manual_seed(options.seed)
    order = random.Random(options.seed)
    manifest = json.loads((options.teacher / "manifest.json").read_text(encoding="utf-8"))
    config = json.loads((options.teacher / "config.json").read_text(encoding="utf-8"))
    reference = Reference(options.teacher)
    config.update(num_hidden_layers=len(options.layers), intermediate_size=options.inner)
    # Attention without dropout has a faster kernel.
    config.update(hidden_dropout_prob=options.dropout, attention_probs_dropout_prob=0.0)
    student = student_of(reference.network, config, options.layers)

    windows = numbered(examples(corpus.read(options.data / "train"), reference.tokenizer, manifest["max_pieces"]))
    lesson = lesson_of(reference.network, windows, options.layers, options.tokens_per_step)

    def write() -> None:
        package.write(options.out, options.name, student, config, reference.tokenizer, options.teacher, manifest["labels"], manifest["max_pieces"])

    plans = [batches(windows, options.tokens_per_step, order) for _ in range(options.epochs)]
    descend(student, plans, options.learning_rate, lambda batch: loss_of(student, lesson, batch), write)


if __name__ == "__main__":
    main()
