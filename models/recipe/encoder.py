"""BERT with a token-classification head in plain PyTorch, with the parameter names of the Hugging Face checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Embeddings(nn.Module):
    def __init__(self, config: dict) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.word_embeddings = nn.Embedding(config["vocab_size"], width)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], width)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], width)
        self.LayerNorm = nn.LayerNorm(width, eps=config["layer_norm_eps"])
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])

    def forward(self, ids: Tensor, types: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)
        summed = self.word_embeddings(ids) + self.position_embeddings(positions) + self.token_type_embeddings(types)
        return self.dropout(self.LayerNorm(summed))


class Projections(nn.Module):
    """`attention.self`: the three projections."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))


class Residual(nn.Module):
    """A dense layer, dropout, and the layer norm over the sum with what came in."""

    def __init__(self, inner: int, config: dict) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, config["hidden_size"])
        self.LayerNorm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])

    def forward(self, inner: Tensor, outer: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(inner)) + outer)


class Layer(nn.Module):
    def __init__(self, config: dict) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.dropout = config["attention_probs_dropout_prob"]
        self.attention = nn.ModuleDict({"self": Projections(width), "output": Residual(width, config)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, config["intermediate_size"])})
        self.output = Residual(config["intermediate_size"], config)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        rows, length, width = hidden.shape
        project = self.attention["self"]

        def split(tensor: Tensor) -> Tensor:
            return tensor.view(rows, length, self.heads, width // self.heads).transpose(1, 2)

        mixed = nn.functional.scaled_dot_product_attention(
            split(project.query(hidden)),
            split(project.key(hidden)),
            split(project.value(hidden)),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        hidden = self.attention["output"](mixed.transpose(1, 2).reshape(rows, length, width), hidden)
        return self.output(nn.functional.gelu(self.intermediate["dense"](hidden)), hidden)


class TokenClassifier(nn.Module):
    def __init__(self, config: dict, labels: int) -> None:
        super().__init__()
        layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.bert = nn.ModuleDict({"embeddings": Embeddings(config), "encoder": nn.ModuleDict({"layer": layers})})
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])
        self.classifier = nn.Linear(config["hidden_size"], labels)

    def hidden_states(self, ids: Tensor, types: Tensor, attention: Tensor) -> list[Tensor]:
        """Token ids, token types and a 0/1 mask, each (rows, length), to what leaves the embeddings and each layer (rows, length, width)."""
        mask = attention[:, None, None, :].bool()
        states = [self.bert["embeddings"](ids, types)]
        for layer in self.bert["encoder"]["layer"]:
            states.append(layer(states[-1], mask))
        return states

    def forward(self, ids: Tensor, types: Tensor, attention: Tensor) -> Tensor:
        """The same to logits (rows, length, labels)."""
        return self.head(self.hidden_states(ids, types, attention)[-1])

    def head(self, hidden: Tensor) -> Tensor:
        """What leaves the last layer to logits."""
        return self.classifier(self.dropout(hidden))
