"""The table of the statistics: consistent, and the only place to touch for a new one."""

import subprocess
import sys

import numpy as np
import pytest

from gradlab.statistics import LAYER_STATISTICS, PARAMETER_SUMS, STATISTICS, SUMS, Statistic, StepRows, finish

FULL_PASS = (
    "dead_fraction",
    "revived_fraction",
    "running_mean_off",
    "running_std_off",
    "across_samples_std",
    "across_units_std",
)
QUANTITIES = {*SUMS, *PARAMETER_SUMS, "output_size", "input_size", "delta_size", "gradient_scale"}
QUANTITIES |= {
    "parameter_gradient_squares",
    *FULL_PASS,
    "input_mean",
    "input_std",
    "input_disparity",
    "delta_through_time",
}
ADDED = """
from gradlab import statistics
added = {"activation_range": statistics.Statistic(
    lambda maximum, minimum: maximum - minimum, "range", "Largest minus smallest entry.")}
# What one more entry in the literal would do.
source = open(statistics.__file__).read()
entry = 'STATISTICS: Mapping[str, Statistic] = {\\n    "activation_range": Statistic(lambda maximum, minimum: ' \\
    'maximum - minimum, "range", "Largest minus smallest entry."),'
changed = source.replace("STATISTICS: Mapping[str, Statistic] = {", entry)
assert changed != source
exec(compile(changed, statistics.__file__, "exec"), statistics.__dict__)

import torch, gradlab
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with gradlab.watch(model, optimizer) as recorder:
    out = model(torch.randn(5, 3))
    out.sum().backward()
    optimizer.step()
rows = recorder.rows()
assert rows["activation_range"].to_list() == (rows["activation_max"] - rows["activation_min"]).to_list()
assert rows["activation_range"][2] == float(out.max().double() - out.min().double())
assert rows["delta_rms"].null_count() == 0
"""


def test_a_made_up_statistic_is_one_entry():
    subprocess.run([sys.executable, "-c", ADDED], check=True)


@pytest.mark.parametrize("name", STATISTICS)
def test_entries_are_complete(name):
    statistic = STATISTICS[name]
    assert {*statistic.made_of, *statistic.condition_of} <= QUANTITIES
    assert statistic.label
    assert statistic.doc.endswith(".")
    assert not (statistic.log and statistic.share)
    assert statistic.share == name.endswith("_fraction")


def test_what_statistics_are_made_of_decides_where_they_are_null():
    statistics = {
        "sum": Statistic(lambda a, b: a + b, "sum", "Both."),
        "positive": Statistic(lambda a: a, "a", "Where a > 0.", where=lambda a: a > 0),
        "unknown": Statistic(lambda c: c, "c", "Nothing is known of it."),
    }
    quantities = {"a": np.array([1.0, -1.0, 2.0]), "b": np.array([1.0, 2.0, 3.0])}
    values, applies = finish(quantities, {"b": np.array([True, True, False])}, 3, statistics)
    assert values[0].tolist() == [2, 1, 5]
    assert applies.tolist() == [[True, True, False], [True, False, True], [False, False, False]]


def test_finished_statistics_against_numpy():
    rng = np.random.default_rng(0)
    x, h, delta, w, g = (rng.normal(size=size) for size in (50, 40, 50, 9, 9))
    x[:7] = 0
    step = 0.01 * rng.normal(size=9)
    quantities = {
        "mean": [x.mean()],
        "centred_squares": [((x - x.mean()) ** 2).sum()],
        "minimum": [x.min()],
        "maximum": [x.max()],
        "zeros": [7],
        "saturated": [(h < 0).sum()],
        "delta_squares": [(8 * delta) @ (8 * delta)],
        "gradient_squares": [(8 * g) @ (8 * g)],
        "weight_squares": [w @ w],
        "change_squares": [step @ step],
        "output_size": [50],
        "input_size": [40],
        "delta_size": [50],
    }
    arrays = {name: np.array(value, dtype=float) for name, value in quantities.items()}
    values, applies = finish({**arrays, "gradient_scale": 8.0}, {}, 1)
    expected = {
        "activation_mean": x.mean(),
        "activation_std": x.std(),
        "activation_rms": np.sqrt((x**2).mean()),
        "activation_min": x.min(),
        "activation_max": x.max(),
        "zero_fraction": 7 / 50,
        "saturated_fraction": (h < 0).mean(),
        "delta_rms": np.sqrt((delta**2).mean()),
        "weight_norm": np.linalg.norm(w),
        "weight_gradient_norm": np.linalg.norm(g),
        "update_ratio": np.linalg.norm(step) / np.linalg.norm(w),
    }
    found = dict(zip(LAYER_STATISTICS, values[:, 0], strict=True))
    assert {name for name, row in zip(LAYER_STATISTICS, applies, strict=True) if row[0]} == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_rows_tell_a_statistic_by_its_name():
    values = np.arange(2.0 * len(STATISTICS)).reshape(2, -1)
    rows = StepRows(0, [0, 0], ["a", "b"], ["weight", "norm"], [1, 1], ["float32"] * 2, values, values > 0)
    assert rows.values("activation_std").tolist() == [1, 1 + len(STATISTICS)]
