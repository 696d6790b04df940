import pytest

from tests.diagnosis.tables import answer, assert_clean, assert_not_applicable, found, geometric, tables, without

COLLAPSE, EXPLOSION = "signal-collapse", "signal-explosion"


def test_inputs_that_look_alike():
    finding = found(COLLAPSE, tables(across_samples_std=[0.5] * 6 + [1e-3] * 4))
    assert finding.layers == (6, 7, 8, 9)
    assert "vary by 0.001 of their size" in finding.message


def test_activations_that_fade():
    finding = found(COLLAPSE, tables(20, activation_rms=geometric(20, 0.15), across_samples_std=geometric(20, 0.15)))
    assert "shrink toward the output, ÷ 1.4 per layer (0.15 decades): 2.9 decades over 20 layers" in finding.message
    assert finding.measured["range_decades"] == pytest.approx(-0.15 * 19)


def test_activations_that_grow():
    run = tables(20, activation_rms=geometric(20, -0.15), across_samples_std=geometric(20, -0.15))
    assert found(EXPLOSION, run).measured["range_decades"] == pytest.approx(0.15 * 19)
    assert answer(COLLAPSE, run) == []


def test_a_steady_signal_is_neither():
    assert_clean(COLLAPSE, tables(across_samples_std=0.05))
    assert_clean(EXPLOSION, tables(activation_rms=geometric(10, -0.1)))


def test_signals_need_depth():
    assert_not_applicable(COLLAPSE, without(tables(1), "across_samples_std"), "neither")
    assert_not_applicable(EXPLOSION, tables(1), "two or more")
