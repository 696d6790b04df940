"""The two backends do the same on tensors of any layout. A library that was compiled for other sums is not used."""

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradlab import statistics
from gradlab.recording import native, plain
from gradlab.recording.devices import CPU, choose_backend
from gradlab.recording.sum_table import SumTable

SATURATION = ((float("-inf"), -0.5), (0.25, 1.0))
FOLDER = Path(native.__file__).parent

needs_library = pytest.mark.skipif(native.LIBRARY is None, reason="gradlab was installed without native code")


@st.composite
def laid_out(draw):
    """A tensor of 1 to 4 dimensions, of some format, that may be permuted, cut, strided, expanded or channels-last."""
    shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))), dtype=torch.float64)
    x = torch.where(x.abs() < 0.2, 0.0, x).to(draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16])))
    change = draw(st.sampled_from(["none", "permute", "cut", "stride", "expand", "channels last"]))
    if change == "permute":
        x = x.permute(*draw(st.permutations(range(x.ndim))))
    elif change == "cut":
        x = x.narrow(-1, x.shape[-1] // 2, x.shape[-1] - x.shape[-1] // 2)
    elif change == "stride":
        x = x[..., ::2]
    elif change == "expand":
        x = x[:1].expand(5, *x.shape[1:])
    elif change == "channels last" and x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)
    return x


@needs_library
@given(laid_out(), laid_out(), st.booleans())
def test_backends_are_equal_on_every_layout(x, h, activation):
    rows = []
    for backend in (choose_backend(CPU), plain.Plain(CPU)):
        table = SumTable(CPU, 2, tuple(statistics.SUMS))
        backend.take_output(x, h if activation else None, SATURATION if activation else None, table, 1)
        backend.take_squares(x, table, 1, "delta_squares")
        rows.append(table.numbers)
    torch.testing.assert_close(rows[0], rows[1], rtol=1e-12, atol=1e-12)
    assert rows[0][0].eq(0).all(), "only one row is written"


@needs_library
@given(laid_out())
def test_backends_copy_and_compare_weights_alike(x):
    sums = []
    for backend in (choose_backend(CPU), plain.Plain(CPU)):
        weights = plain.WeightCopies([torch.nn.Parameter(x.clone(memory_format=torch.preserve_format))], None)
        weights.sums = SumTable(CPU, 1, statistics.PARAMETER_SUMS)
        backend.copy_weights(weights, (0,))
        with torch.no_grad():
            weights.parameters[0].mul_(0.5)
        assert not backend.compare_weights(weights, (0,))
        sums.append(weights.sums.numbers)
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-12, atol=1e-12)


@needs_library
def test_a_library_of_another_layout_is_not_used(tmp_path, monkeypatch):
    for library in FOLDER.glob("kernels-*"):
        shutil.copy(library, tmp_path)
    assert native.load(tmp_path) is not None
    monkeypatch.setattr(native, "LAYOUT", statistics.LAYOUT.replace("zeros,saturated", "saturated,zeros"))
    assert native.load(tmp_path) is None
    monkeypatch.setattr(native, "LAYOUT", statistics.LAYOUT)
    monkeypatch.setattr(native, "INTERFACE", native.INTERFACE - 1)
    assert native.load(tmp_path) is None


def test_a_library_that_is_there_is_used():
    """One that is stale would be passed over without a word, and every other test of native code skipped."""
    if not any(FOLDER.glob("kernels-*")):
        pytest.skip("gradlab was installed without native code")
    assert native.LIBRARY is not None, "native code is stale: python hatch_build.py compiles it"


def test_the_build_reads_the_layout_of_the_sums():
    pytest.importorskip("hatchling")
    import hatch_build

    flags = hatch_build.layout_flags(FOLDER.parents[2])
    assert f'-DLAYOUT="{statistics.LAYOUT}"' in flags
    assert f"-DSUMS={len(statistics.SUMS)}" in flags
    assert [flag for flag in flags if flag.startswith("-DSUM_DELTA")] == [
        f"-DSUM_DELTA_SQUARES={list(statistics.SUMS).index('delta_squares')}"
    ]
