"""A transformer encoder, and a task made from a seed: write the sequence backwards."""

import torch
from torch import Tensor, nn


def backwards(seed: int, samples: int = 1024, length: int = 16, symbols: int = 16) -> tuple[Tensor, Tensor]:
    """Sequences of random symbols (samples, length), and for each position the symbol at the other end."""
    x = torch.randint(symbols, (samples, length), generator=torch.Generator().manual_seed(seed % 2**63))
    return x, x.flip(1)


class Encoder(nn.Module):
    """Blocks of attention and two dense layers, each with a residual connection and a layer normalization.

    Args:
        classes: symbols.
        features: length of a sequence.
        norm: `pre`: inside the residual branch, and once more at the end; `post`: behind the sum, as in the original.
        depth: blocks.
        width: entries of an embedding.
        heads: of the attention.
    """

    def __init__(
        self, classes: int, features: int, norm: str = "post", depth: int = 6, width: int = 64, heads: int = 4
    ) -> None:
        super().__init__()
        self.symbols = nn.Embedding(classes, width)
        self.positions = nn.Parameter(torch.randn(features, width))
        options = {"dropout": 0.0, "batch_first": True, "norm_first": norm == "pre"}
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(width, heads, width, **options) for _ in range(depth))
        self.last = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.output = nn.Linear(width, classes)
        for parameter in self.blocks.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(samples, length) ─► (samples, length, classes)."""
        h = 0.1 * (self.symbols(x) + self.positions)  # small, so that the blocks make up the sum
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.output(self.last(h))
        return out
