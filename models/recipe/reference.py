"""The reference implementation: a model directory and a text to entities, in f32, one window at a time, nothing clever.

`python reference.py --articles DIR > reference.jsonl` writes a line `{"id": file name, "entities": [...]}` for each text file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tqdm import tqdm

import specification
from encoder import TokenClassifier

BUNDLED = Path(__file__).resolve().parents[1] / "news-ner"


class Reference:
    """A model, ready to annotate."""

    def __init__(self, directory: Path) -> None:
        manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        self.labels, self.max_pieces, self.token_types = manifest["labels"], manifest["max_pieces"], manifest["token_types"]
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.start, self.stop = (self.tokenizer.token_to_id(name) for name in (specification.CLS, specification.SEP))
        self.network = TokenClassifier(config, len(self.labels))
        weights = load_file(str(directory / manifest["weights"]["file"]))
        self.network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        self.network.eval()

    @torch.no_grad()
    def annotate(self, text: str) -> list[dict]:
        """The entities of a text in the order of their starts; offsets count code points."""
        pieces = specification.pieces(self.tokenizer, text, self.token_types)
        entities = []
        for begin, end in specification.windows(pieces, specification.sentence_starts(text), self.max_pieces):
            window = pieces[begin:end]
            ids = torch.tensor([[self.start, *(piece.id for piece in window), self.stop]])
            types = torch.tensor([[0, *(piece.shape for piece in window), 0]])
            logits = self.network(ids, types, torch.ones_like(ids))[0, 1:-1]
            entities += specification.decode(text, window, logits.softmax(-1).numpy(), self.labels)
        return entities


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", type=Path, default=BUNDLED)
    arguments.add_argument("--articles", type=Path, required=True, help="directory of text files")
    options = arguments.parse_args()
    reference = Reference(options.model)
    for path in tqdm(sorted(options.articles.glob("*.txt")), unit="text"):
        # As stored: no newline is translated.
        text = path.read_bytes().decode("utf-8")
        entities = [{**entity, "score": round(entity["score"], 4)} for entity in reference.annotate(text)]
        print(json.dumps({"id": path.name, "entities": entities}, ensure_ascii=False))


if __name__ == "__main__":
    main()
