"""Real data that come with scikit-learn: no download."""

import numpy as np

from gradlab.choices import BreastCancer, Digits, Wine
from gradlab.datasets.dataset import Samples


def bundled(data: Digits | BreastCancer | Wine, seed: int) -> Samples:
    """The data that scikit-learn has under the name of the source."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{data.name}")(return_X_y=True)
    return Samples(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.int64))


digits = breast_cancer = wine = bundled  # sources are looked up by their names
