"""Modules of every kind, of which random models are made. Each maps (batch, WIDTH) to the same shape."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

BATCH, WIDTH = 6, 8


class Functional(nn.Module):
    """Linear, and an activation that is a function."""

    def __init__(self, name):
        super().__init__()
        self.linear, self.name = nn.Linear(WIDTH, WIDTH), name

    def forward(self, x):
        return getattr(functional, self.name)(self.linear(x))


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Checkpointed(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=False)


class Reentrant(nn.Module):
    """Checkpointing of the other kind: only the second pass, inside the backward pass, has a gradient."""

    again = 0
    """How many of these passes are running."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def compute(self, x):
        if not torch.is_grad_enabled():
            return self.inner(x)
        Reentrant.again += 1
        try:
            return self.inner(x)
        finally:
            Reentrant.again -= 1

    def forward(self, x):
        if not x.requires_grad:
            return self.inner(x)
        return checkpoint(self.compute, x, use_reentrant=True)


class Cell(nn.Module):
    """A cell that is called once for each of three steps in time."""

    def __init__(self, kind):
        super().__init__()
        self.cell = kind(WIDTH, WIDTH)

    def forward(self, x):
        state = None
        for _ in range(3):
            state = self.cell(x, state)
        return state[0] if isinstance(state, tuple) else state


class Recurrent(nn.Module):
    """A recurrent layer over a sequence."""

    def __init__(self, kind):
        super().__init__()
        self.layer = kind(4, WIDTH, batch_first=True)

    def forward(self, x):
        return self.layer(x.reshape(len(x), 2, 4))[0].mean(1)


class Image(nn.Module):
    """A convolution, in one of two memory formats."""

    def __init__(self, channels_last):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x):
        image = x.reshape(len(x), 2, 2, 2)
        if self.conv.weight.is_contiguous(memory_format=torch.channels_last):
            image = image.contiguous(memory_format=torch.channels_last)
        return self.norm(self.conv(image)).reshape(len(x), WIDTH)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        tokens = x.reshape(len(x), 2, 4)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0].reshape(len(x), WIDTH)


class Tied(nn.Module):
    """Two linears that share a weight."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.one(torch.tanh(self.two(x)))


class Own(nn.Module):
    """A parameter of its own, beside a part whose output it hands on or scales."""

    def __init__(self, scaled):
        super().__init__()
        self.inner, self.gain, self.scaled = nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.ones(WIDTH)), scaled

    def forward(self, x):
        return self.gain * self.inner(x) if self.scaled else self.inner(x * self.gain)


class Listed(nn.Module):
    """Parameters in a list and a dict."""

    def __init__(self):
        super().__init__()
        make = [nn.Parameter(torch.eye(WIDTH) + 0.1 * torch.randn(WIDTH, WIDTH)) for _ in range(2)]
        self.matrices = nn.ParameterList(make)
        self.named = nn.ParameterDict({"shift": nn.Parameter(torch.zeros(WIDTH))})

    def forward(self, x):
        for matrix in self.matrices:
            x = x @ matrix
        return x + self.named["shift"]


class Borrowed(nn.Module):
    """Uses the weight of a part without calling the part."""

    def __init__(self):
        super().__init__()
        self.part = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return functional.linear(x, self.part.weight, self.part.bias)


class Looked(nn.Module):
    """An embedding, looked up by what the input is largest in."""

    def __init__(self, sparse):
        super().__init__()
        self.table = nn.Embedding(WIDTH, WIDTH, sparse=sparse)

    def forward(self, x):
        return x + self.table(x.argmax(1))


class Complex(nn.Module):
    """A complex parameter, and perhaps a complex layer."""

    def __init__(self, layer):
        super().__init__()
        self.turn = nn.Parameter(torch.randn(WIDTH, dtype=torch.complex64))
        self.layer = nn.Linear(WIDTH, WIDTH, dtype=torch.complex64) if layer else nn.Identity()

    def forward(self, x):
        return self.layer(x * self.turn).abs()


class Negative(nn.Module):
    """Returns a tensor that is the negative of what is in its memory."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return torch.complex(x, self.inner(x)).conj().imag


class Empty(nn.Module):
    """A layer without entries beside one with some."""

    def __init__(self):
        super().__init__()
        self.none, self.some = nn.Linear(WIDTH, 0), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return torch.cat([self.none(x), self.some(x)], 1)


class Special(nn.Parameter):
    """A parameter of another class."""


class OfAnotherClass(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = Special(torch.randn(WIDTH, WIDTH) / 3)

    def forward(self, x):
        return x @ self.weight.t()


class Volume(nn.Module):
    """A convolution in three dimensions with the channels last: dense, but in no usual order."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(2, 2, (1, 2, 2), padding="same").to(memory_format=torch.channels_last_3d)

    def forward(self, x):
        return self.conv(x.reshape(len(x), 2, 1, 2, 2)).reshape(len(x), WIDTH)


PIECES = {
    "linear": lambda r: nn.Linear(WIDTH, WIDTH),
    "bare": lambda r: nn.Linear(WIDTH, WIDTH, bias=False),
    "lazy": lambda r: nn.LazyLinear(WIDTH),
    "relu": lambda r: nn.ReLU(),
    "in place": lambda r: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True)),
    "tanh": lambda r: nn.Tanh(),
    "gelu": lambda r: nn.GELU(),
    "prelu": lambda r: nn.PReLU(),
    "functional": lambda r: Functional(r.choice(["relu", "gelu", "silu", "softplus"])),
    "batch norm": lambda r: nn.BatchNorm1d(WIDTH),
    "layer norm": lambda r: nn.LayerNorm(WIDTH),
    "group norm": lambda r: nn.GroupNorm(2, WIDTH),
    "rms norm": lambda r: nn.RMSNorm(WIDTH),
    "dropout": lambda r: nn.Dropout(0.2),
    "image": lambda r: Image(r.random() < 0.5),
    "volume": lambda r: Volume(),
    "cell": lambda r: Cell(r.choice([nn.RNNCell, nn.GRUCell, nn.LSTMCell])),
    "recurrent": lambda r: Recurrent(r.choice([nn.RNN, nn.GRU, nn.LSTM])),
    "attention": lambda r: Attention(),
    "tied": lambda r: Tied(),
    "own": lambda r: Own(r.random() < 0.5),
    "listed": lambda r: Listed(),
    "borrowed": lambda r: Borrowed(),
    "looked": lambda r: Looked(False),
    "sparse": lambda r: Looked(True),
    "spectral": lambda r: nn.utils.parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH)),
    "weight norm": lambda r: nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH)),
    "complex": lambda r: Complex(r.random() < 0.5),
    "negative": lambda r: Negative(),
    "empty": lambda r: Empty(),
    "special": lambda r: OfAnotherClass(),
}
WRAPPERS = ["checkpointed", "reentrant"]
STATEFUL = ("batch norm", "image", "dropout", "spectral", "lazy")
"""What must not run twice for one pass."""


def tree(r, pieces, depth=0):
    """A random module."""
    kind = r.random()
    if depth < 2 and kind < 0.25:
        return Residual(tree(r, pieces, depth + 1))
    if depth < 2 and kind < 0.33 and "checkpointed" in pieces:
        return Checkpointed(tree(r, [p for p in pieces if p not in STATEFUL], depth + 1))
    if depth < 2 and kind < 0.38 and "reentrant" in pieces:
        return Reentrant(tree(r, [p for p in pieces if p not in (*STATEFUL, *WRAPPERS)], depth + 1))
    if depth < 2 and kind < 0.6:
        return nn.Sequential(*(tree(r, pieces, depth + 1) for _ in range(r.randint(1, 3))))
    return PIECES[r.choice([piece for piece in pieces if piece in PIECES])](r)
