"""Any dataset of openml.org, through scikit-learn and its cache (`~/scikit_learn_data`, or SCIKIT_LEARN_DATA)."""

import re
import warnings
from typing import Any

import numpy as np

from gradlab.choices import OpenML
from gradlab.datasets.dataset import Samples, class_numbers
from gradlab.errors import DatasetError


def openml(data: OpenML, seed: int) -> Samples:
    """Download a dataset, or take it from the cache.

    Raises:
        DatasetError: there is no network and nothing in the cache, no such dataset, or its features are no numbers.
    """
    bunch = _fetch(data)
    frame, target = bunch.data, bunch.target
    words = [str(name) for name, kind in frame.dtypes.items() if kind.kind not in "biuf"]
    if words:
        raise DatasetError(
            f"data.dataset: {data.dataset!r} has features that are not numbers: {', '.join(words[:10])}",
            fix="Choose a dataset with numeric features only.",
        )
    if target is None or getattr(target, "ndim", 1) != 1:
        raise DatasetError(f"data.dataset: {data.dataset!r} has no single column of class labels")
    x = frame.to_numpy(dtype=np.float64)
    missing = int((~np.isfinite(x)).sum()) + int(target.isna().sum())
    if missing:
        raise DatasetError(f"data.dataset: {data.dataset!r} has {missing} values that are missing or not finite")
    y = class_numbers(target.astype(str).to_numpy())
    chosen = _subset(y, data.samples, seed)
    return Samples(x[chosen], y[chosen])


def _fetch(data: OpenML) -> Any:
    from sklearn.datasets import fetch_openml

    which = (
        {"data_id": data.dataset} if isinstance(data.dataset, int) else {"name": data.dataset, "version": data.version}
    )
    try:
        with warnings.catch_warnings():  # "retrying", "several active versions": the error below says what matters
            warnings.simplefilter("ignore", UserWarning)
            return fetch_openml(**which, as_frame=True, parser="auto", n_retries=1)
    except (OSError, TimeoutError) as error:  # URLError and HTTPError are OSErrors
        code = getattr(error, "code", None)
        if code in (404, 412):
            raise _unknown(data) from None
        reason = getattr(error, "reason", None) or error
        raise DatasetError(
            f"data.dataset: {data.dataset!r} is not in the cache, and openml.org cannot be reached: {reason}",
            fix="Connect to the network the first time, or take another source: data=digits needs none.",
        ) from None
    except (ValueError, KeyError) as error:
        if re.search(r"\bnot? (active dataset .* |)found|No active dataset", str(error)):
            raise _unknown(data) from None
        raise DatasetError(f"data.dataset: {data.dataset!r} cannot be read: {error}") from None


def _unknown(data: OpenML) -> DatasetError:
    return DatasetError(
        f"data.dataset: openml.org has no active dataset {data.dataset!r}",
        fix="Names are as on openml.org: Fashion-MNIST, mnist_784, CIFAR_10; a number is an id.",
    )


def _subset(y: np.ndarray[Any, Any], samples: int | None, seed: int) -> np.ndarray[Any, Any]:
    """Indices of a random subset with every class in proportion; all of them where it would not be smaller."""
    from sklearn.model_selection import train_test_split

    everything = np.arange(len(y))
    if samples is None or samples >= len(y):
        return everything
    state = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    try:
        chosen, _ = train_test_split(everything, train_size=samples, stratify=y, random_state=state)
    except ValueError:
        raise DatasetError(f"data.samples: {samples} samples are too few for {y.max() + 1} classes") from None
    return np.sort(chosen)
