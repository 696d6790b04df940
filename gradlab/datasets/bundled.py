"""Real data that come with scikit-learn: no download.

The files are read without importing scikit-learn, which takes as long as importing torch.
"""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradlab.choices import BreastCancer, Digits, Wine
from gradlab.datasets.dataset import Samples
from gradlab.errors import DatasetError


def digits(data: Digits, seed: int) -> Samples:
    """1797 images of 8 × 8 pixels between 0 and 16, of ten handwritten digits."""
    return replace(_samples(_table("digits.csv.gz", header=0)), image=(1, 8, 8))


def breast_cancer(data: BreastCancer, seed: int) -> Samples:
    """569 tumours, of which 30 features of the cell nuclei are known: malignant 0, benign 1."""
    return _samples(_table("breast_cancer.csv", header=1))


def wine(data: Wine, seed: int) -> Samples:
    """178 wines of three growers, of which 13 features are known."""
    return _samples(_table("wine_data.csv", header=1))


def _table(name: str, header: int) -> NDArray[np.float64]:
    """A table of scikit-learn, without its first `header` lines.

    Raises:
        DatasetError: scikit-learn is not installed, or does not have the file.
    """
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DatasetError("data: these samples come with scikit-learn, which is not installed")
    path = Path(package.submodule_search_locations[0], "datasets", "data", name)
    try:
        return np.loadtxt(path, delimiter=",", skiprows=header)
    except OSError as error:
        raise DatasetError(f"data: this scikit-learn has no {path}: {error}") from error


def _samples(table: NDArray[np.float64]) -> Samples:
    """The samples of a table whose last column is the number of the class."""
    return Samples(table[:, :-1].copy(), table[:, -1].astype(np.int64))
