import numpy as np

from gradlab.measures.profiles import Profiles, aligned, delta_profile, profiles
from tests.diagnosis.tables import tables


def test_profile_is_delta_at_the_hidden_preactivations():
    run = tables(depth=3, delta_rms=[1.0, 2.0, 4.0])
    assert delta_profile(run.layers, 7).to_dicts() == [{"layer": k, "delta_rms": 2.0**k} for k in range(3)]
    assert delta_profile(run.layers, 99).is_empty()


def test_grid_keeps_only_steps_that_have_the_column():
    run = tables(depth=2, steps=[0, 1, 2])
    frame = run.layers.with_columns(
        dead_fraction=run.layers["dead_fraction"].set(run.layers["step"] == 1, None)  # no full pass in step 1
    )
    assert profiles(frame, "dead_fraction", ["activation"]).steps.tolist() == [0, 2]
    assert not profiles(frame, "dead_fraction", ["weight"])


def test_aligned_values_are_those_of_the_same_step_and_layer():
    source = Profiles(np.array([0, 2, 4]), np.array([1, 3]), np.arange(6.0).reshape(3, 2))
    target = Profiles(np.array([2, 3, 9]), np.array([0, 3]), np.zeros((3, 2)))
    nan = np.nan
    np.testing.assert_array_equal(aligned(source, target), [[nan, 3.0], [nan, nan], [nan, nan]])
    nothing = Profiles(np.array([], int), np.array([], int), np.zeros((0, 0)))
    assert np.isnan(aligned(nothing, target)).all()
