"""Writes a model directory: half-precision weights under Hugging Face's names, configuration, tokenizer, manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

GOLDEN = [
    {
        "text": "Maria Gonzalez of the World Health Organization flew from Nairobi to Paris on Monday.",
        "entities": [("Maria Gonzalez", "PERSON"), ("World Health Organization", "ORG"), ("Nairobi", "LOC"), ("Paris", "LOC"), ("Monday", "DATE")],
    }
]
"""Sentences whose entities a loaded model must find, asked at warm-up: a model that loads and answers nonsense is caught."""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def golden() -> list[dict]:
    out = []
    for sentence in GOLDEN:
        entities = []
        for text, label in sentence["entities"]:
            start = sentence["text"].index(text)
            entities.append({"text": text, "label": label, "start": start, "end": start + len(text)})
        out.append({"text": sentence["text"], "entities": entities})
    return out


def write(out: Path, name: str, model, config: dict, tokenizer: Tokenizer, source: Path, labels: list[str], max_pieces: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    weights = {key: tensor.detach().to(torch.float16).contiguous() for key, tensor in model.state_dict().items()}
    save_file(weights, str(out / "model.safetensors"), metadata={"format": "pt"})
    keep = ("hidden_size", "hidden_act", "initializer_range", "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings",
            "num_attention_heads", "num_hidden_layers", "intermediate_size", "vocab_size", "type_vocab_size", "layer_norm_eps", "pad_token_id")
    written = {
        "architectures": ["BertForTokenClassification"],
        "model_type": "bert",
        **{key: config[key] for key in keep},
        "torch_dtype": "float16",
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    (out / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    tokenizer.save(str(out / "tokenizer.json"))
    shutil.copyfile(source / "vocab.txt", out / "vocab.txt")
    (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}, indent=2) + "\n")
    manifest = {
        "name": name,
        "version": "1",
        "architecture": "bert",
        "weights": {"file": "model.safetensors", "sha256": sha256(out / "model.safetensors"), "bytes": (out / "model.safetensors").stat().st_size},
        "files": {file: sha256(out / file) for file in ("config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json")},
        "token_types": "word_shape",
        "max_pieces": max_pieces,
        "lowercase": True,
        "int8": True,
        "labels": labels,
        "golden": golden(),
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
