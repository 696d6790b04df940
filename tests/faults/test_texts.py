"""Configs, sweeps, conditions and data files that nobody meant; `python -m scripts.reliability` tries many more."""

import pytest

from tests.faults.texts import TRIES


@pytest.mark.parametrize(("kind", "act"), TRIES, ids=[kind for kind, _ in TRIES])
def test_each_is_understood_or_refused_with_one_message(tmp_path, kind, act):
    for seed in range(60):
        place = tmp_path / str(seed)
        place.mkdir()
        act(place, seed)
