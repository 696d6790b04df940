"""The samples that come with scikit-learn are those that scikit-learn gives, without importing it."""

import subprocess
import sys

import numpy as np
import pytest
import sklearn.datasets

from gradlab import choices, datasets
from gradlab.datasets import bundled
from gradlab.errors import DatasetError

SOURCES = {"digits": choices.Digits, "breast_cancer": choices.BreastCancer, "wine": choices.Wine}


@pytest.mark.parametrize("name", SOURCES)
def test_they_are_what_scikit_learn_gives(name):
    x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    samples = getattr(bundled, name)(SOURCES[name](), seed=0)
    np.testing.assert_array_equal(samples.x, x, strict=True)
    np.testing.assert_array_equal(samples.y, y, strict=True)


def test_loading_them_imports_nothing_heavy():
    code = (
        "import sys; from gradlab import choices, datasets; datasets.load(choices.Digits(), seed=0); "
        "print({'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_without_scikit_learn_one_message_says_so(monkeypatch):
    monkeypatch.setattr(bundled, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="scikit-learn, which is not installed"):
        datasets.load(choices.Wine(), seed=0)


def test_a_scikit_learn_without_the_file_is_named(monkeypatch, tmp_path):
    class Package:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(bundled, "find_spec", lambda name: Package)
    with pytest.raises(DatasetError, match=r"this scikit-learn has no .*wine_data\.csv"):
        datasets.load(choices.Wine(), seed=0)
