"""The diagnosis benchmark: its arithmetic by hand, its thresholds on tables of a few numbers, and a run of it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import diagnosis
import diagnosis_grid as networks
import diagnosis_runs as runs
import diagnosis_tools as tools

from gradlab.diagnosis import RULES

UNITS = runs.Units(**dict.fromkeys(runs.Units.__dataclass_fields__, (0.0, 0.0)))


@pytest.fixture(autouse=True)
def one_thread():
    """As in the benchmark, whose workers have one each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trace(*, activation="relu", accuracy=0.1, units=UNITS, **columns):
    """Ten steps of a network of three weight layers in which nothing is the matter."""
    usual = {
        "gradient_mean_TL": 1e-3,
        "gradient_norm_TL": 0.1,
        "gradient_zeros_TL": 0.0,
        "weight_norm_TL": 10.0,
        "weight_variance_TL": 0.01,
    }
    return runs.Trace(
        activation=activation,
        learning_rate=0.1,
        losses=tuple(np.linspace(2, 1, 10)),
        accuracy=accuracy,
        units=(units, units),
        **{name: np.broadcast_to(columns.pop(name, value), (10, 3)) for name, value in usual.items()},
    )


def test_wilson_interval():
    # Wilson 1927; Newcombe 1998, table I: 81 of 263 and 0 of 20
    assert diagnosis.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert diagnosis.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert diagnosis.wilson(20, 20) == pytest.approx((1 - 0.1611, 1.0), abs=5e-5)


def test_the_halves_share_no_depth_and_no_seed():
    tuning, held_out = networks.cases("tuning"), networks.cases("held-out")
    for of in (lambda case: case.config.seed, lambda case: case.config.model.depth):
        assert not {of(case) for case in tuning} & {of(case) for case in held_out}
    assert sum(case.group == "plain" for case in held_out) >= 300
    assert networks.cases("held-out") == held_out


def test_scaled_losses_train_alike():
    config = networks.cases("tuning")[0].config
    plain = runs.train(networks.Case("tuning", "plain", config))
    scaled = runs.train(networks.Case("tuning", "plain", config, "sum", 2.0**-10))
    assert scaled.trace.losses == pytest.approx(plain.trace.losses, rel=1e-3)
    ratio = scaled.trace.gradient_norm_TL[0] / plain.trace.gradient_norm_TL[0]
    assert ratio == pytest.approx(config.data.batch_size * 2.0**-10, rel=1e-4)


@pytest.mark.parametrize(
    ("check", "seen", "expected"),
    [
        (tools.sagemaker_vanishing, {"gradient_mean_TL": [1e-3, 9e-8, 1e-3]}, True),
        (tools.sagemaker_vanishing, {"gradient_mean_TL": 2e-7}, False),
        (tools.thedeepchecker_vanishing, {"gradient_mean_TL": 2e-7}, True),
        (tools.thedeepchecker_vanishing, {"gradient_mean_TL": np.logspace(0, -9, 10, base=2)[:, None]}, True),
        (tools.thedeepchecker_exploding, {"gradient_mean_TL": np.logspace(0, 9, 10, base=2)[:, None]}, True),
        (tools.autotrainer_vanishing, {"gradient_norm_TL": [1e-5, 1e-3, 0.1]}, True),
        (tools.autotrainer_vanishing, {"gradient_norm_TL": [1e-5, 1e-3, 0.1], "accuracy": 0.7}, False),
        (tools.autotrainer_vanishing, {"gradient_norm_TL": [1e-5, 1e-3, 1e-3]}, False),
        (tools.autotrainer_exploding, {"gradient_norm_TL": [8.0, 1.0, 0.1]}, True),
        (tools.sagemaker_exploding, {"gradient_mean_TL": [1e30, 1.0, 1.0]}, False),
        (tools.sagemaker_exploding, {"gradient_mean_TL": [np.nan, 1.0, 1.0]}, True),
        (tools.deepdiagnosis_large, {"gradient_norm_TL": 11.0}, True),
        (tools.thedeepchecker_small, {"gradient_norm_TL": 5e-3}, True),
        (tools.deepdiagnosis_small, {"gradient_norm_TL": 5e-3}, False),
        (tools.sagemaker_saturated, {}, None),
    ],
)
def test_thresholds_of_other_tools(check, seen, expected):
    assert check(trace(**seen)) == expected


def test_rates_leave_out_what_has_no_label():
    said = [{"gradlab": {"rule": heard}} for heard in (True, False, True, None, True)]
    results = [diagnosis.Result(None, None, one, ()) for one in said]
    labelled = dict(zip(map(id, results), (True, True, False, False, None), strict=True))
    found = diagnosis.rates(results, "gradlab", "rule", lambda result: labelled[id(result)])
    assert (found.hits, found.positives, found.alarms, found.negatives) == (1, 2, 1, 2)


@pytest.mark.slow
def test_a_quick_run_writes_its_tables_between_the_markers(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{diagnosis.BEGIN}\nstale\n{diagnosis.END}\nafter\n", encoding="utf-8")
    diagnosis.main(["--quick", "--workers", "1", "--markdown", str(page)])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale" not in text
    assert "24 networks" in text
    for rule in RULES:
        assert f"**{rule}**" in text
    assert text.count("\n| ") > 50
    assert capsys.readouterr().out.strip() in text
