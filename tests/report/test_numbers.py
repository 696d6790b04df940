import json
import math

import numpy as np
import polars as pl
import pytest

from gradlab.report.numbers import run_numbers
from gradlab.statistics import STATISTICS
from gradlab.tables import Finding
from tests.report.reading import values
from tests.views.synthetic import INF, NAN, make_run


def matrix_of(numbers, statistic, group):
    return next(each for each in numbers["matrices"] if (each["statistic"], each["group"]) == (statistic, group))


def test_the_numbers_are_those_of_the_table():
    run = make_run(depth=3, steps=range(0, 50, 5))
    numbers = run_numbers(run)
    names = [module["module"] for module in numbers["modules"]]
    compared = 0
    for matrix in numbers["matrices"]:
        steps = numbers["columns"][matrix["columns"]]["shown"]
        read = values(matrix, STATISTICS[matrix["statistic"]].log)
        for module, row in zip(matrix["modules"], read, strict=True):
            for step, value in zip(steps, row, strict=True):
                here = run.layers.filter((pl.col("module") == names[module]) & (pl.col("step") == step))
                wanted = here[matrix["statistic"]].item()
                assert value is None if wanted is None else value == pytest.approx(wanted, rel=1e-5), matrix
                compared += 1
    assert compared > 300


@pytest.mark.parametrize("value", [0.0, 1e-60, 1e-300, 1e60, INF, NAN])
def test_numbers_beyond_32_bits_arrive(value):
    numbers = run_numbers(make_run(delta=lambda step, layer, depth: value, activation=lambda step, layer: (1e50, 0.25)))
    (delta,) = {
        entry for row in values(matrix_of(numbers, "delta_rms", "weight"), log=True) for entry in row if entry == entry
    } or {NAN}
    assert math.isnan(delta) if math.isnan(value) else delta == pytest.approx(value, rel=1e-4)
    mean = matrix_of(numbers, "activation_mean", "activation")
    assert values(mean, log=False)[0][0] == pytest.approx(1e50)
    json.dumps(numbers, allow_nan=True)


def test_steps_are_thinned_until_the_numbers_fit():
    run = make_run(depth=3, steps=range(400), delta=lambda step, layer, depth: 1e9 if step == 333 else 1.0)
    whole, thinned = run_numbers(run), run_numbers(run, budget=20_000)

    def size(numbers):
        return sum(
            len(matrix[part]) for matrix in numbers["matrices"] for part in ("value", "low", "high") if part in matrix
        )

    assert size(thinned) <= 20_000 < size(whole)
    assert not any(columns["thinned"] for columns in whole["columns"])
    delta = matrix_of(thinned, "delta_rms", "weight")
    assert thinned["columns"][delta["columns"]]["thinned"]
    assert max(values(delta, log=True, part="high")[0]) == pytest.approx(1e9, rel=1e-5)


def test_a_statistic_of_few_records_has_columns_of_its_own():
    numbers = run_numbers(make_run(steps=range(100)))
    dead = matrix_of(numbers, "dead_fraction", "activation")
    assert numbers["columns"][dead["columns"]]["shown"] == [0]
    assert values(dead, log=False) == [[pytest.approx(0.1)]] * 4


def test_theory_is_beside_what_it_predicts():
    numbers = run_numbers(make_run(theory=True))
    theory = np.array(matrix_of(numbers, "delta_rms", "weight")["theory"], dtype=float)
    assert np.isfinite(theory).any()
    assert matrix_of(numbers, "weight_norm", "weight")["theory"] is None


def test_findings_point_to_the_statistic_and_the_modules():
    findings = [
        Finding(
            "dead-units",
            "warning",
            "m",
            modules=("1.activation", "gone"),
            layers=(1,),
            steps=(2, 7),
            measured={"dead_fraction": 0.4},
        ),
        Finding("vanishing-gradient", "error", "m"),
    ]
    first, second = run_numbers(make_run(findings=findings))["findings"]
    assert (first["statistic"], first["modules"], first["steps"]) == ("dead_fraction", [3], (2, 7))
    assert (second["statistic"], second["modules"]) == ("delta_rms", [])


@pytest.mark.parametrize("steps", [[], [0], [7]])
def test_runs_of_hardly_any_steps(steps):
    numbers = run_numbers(make_run(steps=steps))
    assert bool(numbers["matrices"]) == bool(steps)
