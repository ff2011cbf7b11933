"""BERT with a token-classification head, in plain PyTorch.

The parameters bear the names of Hugging Face's `BertForTokenClassification`,
so that a checkpoint of either loads into the other. There is no pooler.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """The numbers of a `config.json` that the network is built from."""

    vocab_size: int
    type_vocab_size: int
    max_position_embeddings: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    layer_norm_eps: float
    labels: int
    dropout: float

    @classmethod
    def of(cls, config: dict) -> Shape:
        plain = {name: config[name] for name in cls.__dataclass_fields__ if name in config}
        return cls(**plain, labels=len(config["id2label"]), dropout=config["hidden_dropout_prob"])


class Embeddings(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type_embeddings = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, ids: Tensor, types: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[: ids.shape[1]]
        summed = self.word_embeddings(ids) + self.token_type_embeddings(types) + positions
        return self.dropout(self.LayerNorm(summed))


class SelfAttention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.num_attention_heads
        self.rate = shape.dropout
        self.query = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.key = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.value = nn.Linear(shape.hidden_size, shape.hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            project(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        rate = self.rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        return mixed.transpose(1, 2).flatten(-2)


class Output(nn.Module):
    """Projection, dropout, residual connection, normalisation."""

    def __init__(self, inputs: int, shape: Shape) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(hidden)) + residual)


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(shape), "output": Output(shape.hidden_size, shape)}
        )
        dense = nn.Linear(shape.hidden_size, shape.intermediate_size)
        self.intermediate = nn.ModuleDict({"dense": dense})
        self.output = Output(shape.intermediate_size, shape)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        attended = self.attention["output"](self.attention["self"](hidden, mask), hidden)
        widened = F.gelu(self.intermediate["dense"](attended))
        return self.output(widened, attended)


class TokenClassifier(nn.Module):
    """Piece ids and token types in, a score per label and piece out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        encoder = nn.ModuleDict({"layer": layers})
        self.bert = nn.ModuleDict({"embeddings": Embeddings(shape), "encoder": encoder})
        self.dropout = nn.Dropout(shape.dropout)
        self.classifier = nn.Linear(shape.hidden_size, shape.labels)

    def forward(self, ids: Tensor, types: Tensor, present: Tensor) -> Tensor:
        """All three are (windows, pieces); `present` is true where a piece stands."""
        mask = present[:, None, None, :]
        hidden = self.bert["embeddings"](ids, types)
        for layer in self.bert["encoder"]["layer"]:
            hidden = layer(hidden, mask)
        return self.classifier(self.dropout(hidden))


def collate(windows: list[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Pads windows of (ids, types) to one length: ids, types, present."""
    width = max(len(ids) for ids, _ in windows)
    ids = torch.zeros(len(windows), width, dtype=torch.long)
    types = torch.zeros_like(ids)
    present = torch.zeros_like(ids, dtype=torch.bool)
    for row, (window_ids, window_types) in enumerate(windows):
        ids[row, : len(window_ids)] = torch.tensor(window_ids)
        types[row, : len(window_ids)] = torch.tensor(window_types)
        present[row, : len(window_ids)] = True
    return ids, types, present
