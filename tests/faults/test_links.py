"""Links in run folders, and folders that are no runs; `python -m scripts.reliability` tries many more."""

import sys

import pytest

from tests.faults.links import TRIES


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few users make links")
@pytest.mark.parametrize(("kind", "act"), TRIES, ids=[kind for kind, _ in TRIES])
def test_nothing_of_somebody_else_is_touched(tmp_path, kind, act):
    for seed in range(10):
        place = tmp_path / str(seed)
        place.mkdir()
        act(place, seed)
