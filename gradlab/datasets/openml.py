"""Any dataset of openml.org, through scikit-learn and its cache (`~/scikit_learn_data`, or SCIKIT_LEARN_DATA)."""

import http.client
import re
import warnings
from typing import Any
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray

from gradlab.choices import OpenML
from gradlab.datasets.dataset import Labels, Samples, class_numbers, image_of
from gradlab.errors import DatasetError
from gradlab.text import first_of

NETWORK_ERRORS = (URLError, TimeoutError, ConnectionError, http.client.HTTPException)
UNREADABLE = (OSError, ValueError, KeyError, EOFError)


def openml(data: OpenML, seed: int) -> Samples:
    """Download a dataset, or take it from the cache.

    Raises:
        DatasetError: the dataset is not in the cache and there is no network, it does not exist, or its features are
            not numbers.
    """
    bunch = _fetch(data)
    frame, target = bunch.data, bunch.target
    words = [name for name, kind in frame.dtypes.items() if kind.kind not in "biuf"]
    if words:
        raise DatasetError(
            f"data.dataset: {data.dataset!r} has features that are not numbers: {first_of(words)}",
            fix="Choose a dataset with numeric features only.",
        )
    if target is None or getattr(target, "ndim", 1) != 1:
        raise DatasetError(f"data.dataset: {data.dataset!r} has no single column of class labels")
    if target.isna().any():
        raise DatasetError(f"data.dataset: {data.dataset!r}: {target.isna().sum()} of {len(target)} labels are missing")
    x = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    missing = (~np.isfinite(x)).sum(0)
    if missing.any():
        columns = [f"{frame.columns[i]} ({missing[i]} of {len(x)})" for i in np.flatnonzero(missing)]
        raise DatasetError(
            f"data.dataset: {data.dataset!r} has values that are missing or not finite: {first_of(columns)}",
            fix="Choose a dataset without missing values.",
        )
    numeric = target.dtype.kind in "biuf"
    y = class_numbers((target if numeric else target.astype(str)).to_numpy(), key="data.dataset")
    chosen = _subset(y, data.samples, seed)
    return Samples(x[chosen], y[chosen], image_of(x.shape[1]))


def _fetch(data: OpenML) -> Any:
    from sklearn.datasets import fetch_openml

    which = (
        {"data_id": data.dataset} if isinstance(data.dataset, int) else {"name": data.dataset, "version": data.version}
    )
    try:
        with warnings.catch_warnings():  # "retrying", "several active versions": the errors below say what matters
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            return fetch_openml(**which, as_frame=True, parser="auto", n_retries=1)
    except NETWORK_ERRORS as error:
        if isinstance(error, http.client.InvalidURL) or getattr(error, "code", None) in (404, 412):
            raise _unknown(data) from None
        reason = getattr(error, "reason", None) or error
        raise DatasetError(
            f"data.dataset: {data.dataset!r} is not in the cache, and openml.org cannot be reached: {reason}",
            fix="Connect to the network the first time, or take another source: data=digits needs none.",
        ) from None
    except UNREADABLE as error:
        if re.search("not found|No active dataset", str(error)):
            raise _unknown(data) from None
        if "Sparse ARFF" in str(error):  # scikit-learn's message is about arguments of its own
            raise DatasetError(
                f"data.dataset: {data.dataset!r} is sparse; gradlab reads dense tables",
                fix="Choose a dataset with dense features.",
            ) from None
        raise DatasetError(f"data.dataset: {data.dataset!r} cannot be read: {error}") from None


def _unknown(data: OpenML) -> DatasetError:
    version = f" version {data.version}" if isinstance(data.version, int) else ""
    return DatasetError(
        f"data.dataset: openml.org has no active dataset {data.dataset!r}{version}",
        fix="Names are as on openml.org: Fashion-MNIST, mnist_784, CIFAR_10; a number is an id.",
    )


def _subset(y: Labels, samples: int | None, seed: int) -> NDArray[np.intp]:
    """Sorted indices of a random subset with every class in proportion; all indices where no subset is asked for.

    Raises:
        DatasetError: a class would have too few samples left to be split.
    """
    if samples is None or samples >= len(y):
        return np.arange(len(y))
    quotas = np.bincount(y) * samples / len(y)
    sizes = np.floor(quotas).astype(np.int64)
    largest_remainders = np.argsort(sizes - quotas, kind="stable")[: samples - sizes.sum()]
    sizes[largest_remainders] += 1
    if sizes.min() < 2:
        raise DatasetError(
            f"data.samples: {samples} samples are too few for {len(sizes)} classes in proportion; "
            f"the rarest would have {sizes.min()}, and a stratified split needs 2",
            fix="Use more samples.",
        )
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.flatnonzero(y == k), size, replace=False) for k, size in enumerate(sizes)]
    return np.sort(np.concatenate(chosen))
