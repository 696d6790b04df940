"""The native kernels against the plain operators and NumPy, to the last bits that float64 accumulation allows."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradlab.recording import native, plain
from gradlab.recording.calls import Calls, Device
from gradlab.recording.device_parameters import DeviceParameters
from gradlab.recording.devices import choose_backend
from gradlab.recording.page_memory import PAGE, PageMemory
from gradlab.recording.weight_copies import SAMPLE, stride
from gradlab.statistics import PARAMETER_SUMS, SUMS

CPU = torch.device("cpu")
INTERVALS = [(), ((-math.inf, 0.3),), ((-math.inf, -1.0), (1.0, math.inf)), ((-2.0, -0.1), (0.0, 0.1), (0.7, math.inf))]
DELTA, SATURATED = list(SUMS).index("delta_squares"), list(SUMS).index("saturated")
GRADIENT, WEIGHT, CHANGE = (PARAMETER_SUMS.index(f"{name}_squares") for name in ("gradient", "weight", "change"))
RELU = ((-math.inf, math.nextafter(0.0, 1.0)),)
NUMBERS = st.floats(width=32)

pytestmark = pytest.mark.skipif(native.LIBRARY is None, reason="gradlab was installed without native code")


def measured(x, h=None, saturation=None, kernels=True):
    calls = Calls(Device(CPU, choose_backend(CPU) if kernels else plain.Plain(CPU)))
    with np.errstate(all="ignore"):
        row = calls.add(0, 0, x, h, saturation)
        calls.take_delta(row, x)
    return calls.sums()[row].tolist()


def same(ones, others, scale):
    for one, other in zip(ones, others, strict=True):
        assert one == pytest.approx(other, rel=1e-12, abs=1e-13 * scale, nan_ok=True)


@given(arrays(np.float32, st.integers(1, 70), elements=NUMBERS), st.sampled_from([*INTERVALS, RELU]))
@pytest.mark.filterwarnings("ignore:overflow")
def test_any_numbers_give_what_plain_operators_give(values, saturation):
    for x in (torch.tensor(values), torch.tensor(values).double()):
        fast, slow = (measured(x, x, saturation, kernels) for kernels in (True, False))
        wide = np.abs(values[np.isfinite(values)].astype(float))
        scale = float((wide**2).sum() + wide.sum()) if wide.size else 0.0
        same(fast, slow, scale)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000, 2**20 + 5, 2**21 + 33])
def test_sizes_that_do_not_fit_the_registers(size):
    x = torch.randn(size, generator=torch.Generator().manual_seed(size))
    x[::7] = 0
    values = x.double().numpy()
    mean, squares, low, high, zeros, _, delta = measured(x)
    assert mean == pytest.approx(math.fsum(values) / size, rel=1e-11, abs=1e-15)
    assert squares == pytest.approx(((values - values.mean()) ** 2).sum(), rel=1e-11, abs=1e-20)
    assert (low, high, zeros) == (values.min(), values.max(), (values == 0).sum())
    assert delta == pytest.approx((values**2).sum(), rel=1e-12)


def test_small_spread_tiny_entries_and_large_ones():
    generator = np.random.default_rng(0)
    x = torch.tensor(100 + 0.01 * generator.normal(size=20_000), dtype=torch.float32)
    assert math.sqrt(measured(x)[1] / len(x)) == pytest.approx(x.double().numpy().std(), rel=1e-9)
    for size in (1e-25, 1e-40, 1e30):
        x = torch.full((999,), size)
        assert measured(x)[DELTA] == pytest.approx(999 * float(x[0].double()) ** 2, rel=1e-12)


@pytest.mark.parametrize("place", [0, 16, 500, 1001])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_visible(place, bad):
    x = torch.randn(1002)
    x[place] = bad
    same(measured(x), measured(x, kernels=False), 1e3)


def test_edges_of_intervals_are_those_of_float64():
    edges = [0.1, 1 / 3, math.nextafter(0.0, 1.0), 1.0, -0.7]
    around = [np.nextafter(np.float32(e), np.float32(s), dtype=np.float32) for e in edges for s in (-9, 9)]
    x = torch.tensor([*map(float, map(np.float32, edges)), *map(float, around), 0.0, -0.0])
    for edge in edges:
        for saturation in (((-math.inf, edge),), ((edge, math.inf),)):
            found = measured(x, x, saturation)[SATURATED]
            assert found == sum(low < value < high for low, high in saturation for value in x.double().tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("intervals", "inside"), list(zip(INTERVALS, [0, 1, 2, 1], strict=True)))
def test_infinity_is_saturated_where_all_large_numbers_are(intervals, inside, dtype):
    x = torch.tensor([math.inf, -math.inf, math.nan, 0.5], dtype=dtype)
    for kernels in (True, False):
        assert measured(x, x, intervals, kernels=kernels)[SATURATED] == inside


@pytest.mark.parametrize(
    "x",
    [
        torch.arange(24.0).reshape(4, 6).t(),
        torch.arange(24.0)[::2],
        torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        torch.arange(24.0).to(torch.bfloat16),
        torch.tensor(3.0).expand(5, 5),
    ],
)
def test_other_layouts_and_formats(x):
    assert measured(x)[0] == float(x.double().mean())
    assert measured(x)[DELTA] == pytest.approx(float(x.double().square().sum()), rel=1e-14)


def test_rows_beyond_the_first_ones():
    calls = Calls(Device(CPU, choose_backend(CPU)))
    for number in range(1000):
        row = calls.add(number, 0, torch.full((3,), float(number)), None, None)
        calls.take_delta(row, torch.full((3,), 2.0))
    assert calls.sums()[:1000, 0].tolist() == list(range(1000))
    assert calls.sums()[:1000, DELTA].tolist() == [12.0] * 1000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_weights_gradients_and_updates(dtype):
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in ((5,), (7, 9), (600, 700))]
    device = Device(CPU, choose_backend(CPU))
    weights = DeviceParameters(device, parameters, *[[True] * 3] * 3, several_optimizers=False)
    everything = (0, 1, 2)
    assert [stride(parameter) for parameter in parameters] == [1, 1, 9]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    weights.read_gradients(everything)
    weights.before_update(everything)
    before = [parameter.detach().double().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.01 * torch.randn_like(parameter))
    weights.after_update(everything)
    sums = np.asarray(weights.sums)
    for index, (parameter, old) in enumerate(zip(parameters, before, strict=True)):
        assert sums[index, GRADIENT] == pytest.approx(float(parameter.grad.double().square().sum()), rel=1e-12)
        assert sums[index, WEIGHT] == pytest.approx(float(old.square().sum()), rel=1e-12)
        change = float((parameter.detach().double() - old).square().sum())
        exact = parameter.numel() <= SAMPLE
        assert sums[index, CHANGE] / weights.weights.sampled_share()[index] == pytest.approx(
            change, rel=1e-12 if exact else 0.02
        )


@given(st.integers(1, 2**24), st.integers(1, 5000))
def test_samples_are_small_and_meet_every_column(entries, columns):
    class Shape:
        shape = (max(1, entries // columns), columns)

        def numel(self):
            return self.shape[0] * self.shape[1]

    k = stride(Shape())
    assert -(-Shape().numel() // k) <= SAMPLE
    assert k == 1 or math.gcd(k, columns) == 1


@given(arrays(np.float32, st.integers(1, 80), elements=NUMBERS))
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_histograms(values):
    x = torch.tensor(values)
    low, high, non_finite, *counts = choose_backend(CPU).histogram(x).tolist()
    expected_low, expected_high, expected_non_finite, *expected = plain.histogram(x).tolist()
    assert (low, high, non_finite) == (expected_low, expected_high, expected_non_finite)
    assert sum(counts) == sum(expected) == np.isfinite(values).sum()
    assert np.abs(np.array(counts) - expected).sum() <= 2, "an entry on an edge may fall to either side"


def test_page_memory_keeps_copies():
    memory = PageMemory()
    numbers = (np.random.default_rng(i).normal(size=997) for i in range(400))
    arrays_kept = [(memory.copy(torch.tensor(x)), x) for x in numbers]
    large = memory.copy(torch.ones(3 * PAGE, dtype=torch.float64))
    assert large.sum() == 3 * PAGE
    assert all((kept == original).all() for kept, original in arrays_kept)


def test_without_a_library_plain_operators_do_the_same():
    code = (
        "import torch, gradlab\n"
        "from pathlib import Path\n"
        "Path.glob = lambda *arguments: []\n"
        "from gradlab.recording import native\n"
        "assert native.LIBRARY is None\n"
        "model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "with gradlab.watch(model, optimizer) as recorder:\n"
        "    model(torch.randn(5, 3)).sum().backward(); optimizer.step()\n"
        "assert recorder.rows()['delta_rms'].min() > 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
