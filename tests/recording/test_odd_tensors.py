"""Tensors of odd layouts, classes and sizes go through the hooks, the native ones and those in Python, and NumPy.

The check runs this file a second time while AddressSanitizer watches every read of the native code
(`scripts/sanitize.py`): each tensor ends where its memory ends, so that one entry too far is seen.
"""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradlab.recording import native
from gradlab.recording.recorder import Recorder

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33]


class OddTensor(Tensor):
    """A class of somebody's own."""


class OddParameter(nn.Parameter):
    """A class of somebody's own."""


def tight(x: Tensor) -> Tensor:
    """The last entries of memory that ends with them, in a place that no vector register is aligned with."""
    room = torch.empty(x.numel() + 3, dtype=x.dtype)
    return room[3:].view(x.shape).copy_(x)


LAYOUTS = {
    "plain": lambda x: x * 1,
    "unaligned": lambda x: torch.cat([x.reshape(-1)[:1], x.reshape(-1)])[1:],
    "transposed": lambda x: x.t() * 1,
    "a transposed view": lambda x: (x * 1).t(),
    "every second column": lambda x: (x * 1)[:, ::2],
    "the last column": lambda x: (x * 1)[:, -1:],
    "expanded": lambda x: (x.sum(1, keepdim=True)).expand(-1, 4),
    "a number": lambda x: x.sum(),
    "channels last": lambda x: x.reshape(1, 1, *x.shape).repeat(2, 3, 1, 1).to(memory_format=torch.channels_last),
    "channels last, sliced": lambda x: (
        x.reshape(1, 1, *x.shape).repeat(2, 3, 1, 1).to(memory_format=torch.channels_last)[:, 1:]
    ),
    "negative bit": lambda x: torch._neg_view(x * 1),
    "a class": lambda x: (x * 1).as_subclass(OddTensor),
    "float64": lambda x: x.double(),
    "float16": lambda x: x.half(),
    "complex": lambda x: torch.complex(x, 2 * x),
    "conjugated": lambda x: torch.complex(x, 2 * x).conj(),
    "of no entries": lambda x: (x * 1)[:0],
}


class Odd(nn.Module):
    """Returns a tensor of an odd layout."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout = layout
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = LAYOUTS[self.layout](x)
        return self.last


def train(layout: str, size: int, *, native_code: bool, parameter=nn.Parameter):
    """Train two steps; returns the rows of the second, and the output of the odd module in it."""
    torch.manual_seed(size)
    model = nn.Sequential(nn.Linear(size, size), Odd(layout))
    model[0].weight = parameter(tight(torch.randn(size, size)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    records = []
    with pytest.MonkeyPatch.context() as patch:
        if not native_code:
            patch.setattr(native, "LIBRARY", None)
        with Recorder(model, [optimizer], emit=records.append, strict=True):
            for _ in range(2):
                optimizer.zero_grad()
                out = model(tight(torch.randn(size + 1, size)))
                (out.abs() ** 2).sum().backward()
                optimizer.step()
    return records[-1].rows, model[1].last.detach()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_what_plain_operators_give(layout, size):
    (fast, x), (slow, _) = (train(layout, size, native_code=native_code) for native_code in (True, False))
    assert (fast.module, fast.kind, fast.dtype) == (slow.module, slow.kind, slow.dtype)
    assert (fast.applies_MS == slow.applies_MS).all()
    tolerance = 1e-2 if layout == "float16" else 1e-6
    np.testing.assert_allclose(fast.values_MS, slow.values_MS, rtol=tolerance, atol=1e-9)
    if x.numel() and "1" in fast.module:
        values = torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
        values = values.resolve_neg().double().numpy()
        row = list(fast.module).index("1")
        assert fast.values("activation_mean")[row] == pytest.approx(values.mean(), rel=tolerance, abs=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_a_parameter_of_an_own_class_is_a_parameter(size):
    (odd, _), (usual, _) = (
        train("plain", size, native_code=True, parameter=each) for each in (OddParameter, nn.Parameter)
    )
    np.testing.assert_allclose(odd.values_MS, usual.values_MS, rtol=1e-6)
    assert (odd.applies_MS == usual.applies_MS).all()


@pytest.mark.skipif(native.LIBRARY is None, reason="gradlab was installed without native code")
@pytest.mark.parametrize("size", [0, *SIZES, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernels_read_no_entry_too_many(size, dtype):
    kernels = native.LIBRARY.kernels[dtype]
    memory = np.random.default_rng(size).normal(size=size).astype(np.float32 if dtype is torch.float32 else float)
    x = memory.copy()  # the end of its memory is the end of what is allocated
    total = np.zeros(1)
    kernels.sum_of_squares(x.ctypes.data, size, total.ctypes.data)
    assert total[0] == pytest.approx((memory.astype(float) ** 2).sum(), rel=1e-12)
    if size:
        bins = np.zeros(3 + 8)
        kernels.histogram(x.ctypes.data, size, 8, bins.ctypes.data)
        assert bins[3:].sum() == size
