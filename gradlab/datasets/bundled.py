"""Real data that come with scikit-learn: no download."""

from typing import Any

import numpy as np

from gradlab.choices import BreastCancer, Digits, Wine
from gradlab.datasets.dataset import Samples


def digits(data: Digits, seed: int) -> Samples:
    """1,797 images of 8 × 8 pixels, values 0 to 16, ten classes."""
    from sklearn.datasets import load_digits

    return _samples(load_digits)


def breast_cancer(data: BreastCancer, seed: int) -> Samples:
    """569 samples of 30 measurements, two classes."""
    from sklearn.datasets import load_breast_cancer

    return _samples(load_breast_cancer)


def wine(data: Wine, seed: int) -> Samples:
    """178 samples of 13 measurements, three classes."""
    from sklearn.datasets import load_wine

    return _samples(load_wine)


def _samples(loader: Any) -> Samples:
    x, y = loader(return_X_y=True)
    return Samples(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.int64))
