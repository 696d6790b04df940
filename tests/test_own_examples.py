"""The transformer encoder of `configs/own` against what Xiong et al. 2020 derive for its gradients at the start."""

from pathlib import Path

import pytest

import gradlab
from gradlab.sweeps.grid import load_plan

OWN = Path(__file__).parents[1] / "configs" / "own"


def last_gradient(norm, depth, runs):
    """Norm of the gradient of the last block's second dense layer before any training."""
    changes = {"model.options": {"norm": norm, "depth": depth}, "train.steps": 1, "device": "cpu"}
    run = gradlab.run(OWN / "transformer.yaml", changes, runs=runs, plots=False)
    return run.layers.filter(step=0, module=f"blocks.{depth - 1}.linear2")["weight_gradient_norm"][0]


@pytest.mark.slow
def test_the_gradient_of_the_last_block_falls_like_one_over_the_root_of_the_depth_with_pre_norm_alone(tmp_path):
    inside, behind = (
        [last_gradient(norm, depth, tmp_path) for depth in (2, 8)] for norm in ("pre", "post")
    )  # theorem 1: O(sqrt(ln d / L)) against O(sqrt(ln d))
    assert inside[0] / inside[1] == pytest.approx(2, rel=0.2)
    assert behind[1] > 0.9 * behind[0]


def test_the_options_are_axes_of_the_sweep():
    points = load_plan(OWN / "sweep_transformer.yaml").points
    assert len({point.config.id for point in points}) == len(points) == 24
    assert {point.config.model.options["norm"] for point in points} == {"pre", "post"}


def test_an_attribute_of_ones_own_network_is_not_taken_for_one_of_gradlabs(tmp_path):
    """`positions` is a tensor here."""
    assert gradlab.run(OWN / "transformer.yaml", {"train.steps": 1}, runs=tmp_path, plots=False).evaluations.height
