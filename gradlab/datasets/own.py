"""Data that a function of the user makes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab import user_code
from gradlab.choices import PythonData
from gradlab.datasets.dataset import Features, Samples, Targets
from gradlab.errors import DatasetError

Array = NDArray[Any]
FORMS = "(x_train, y_train, x_test, y_test), a pair of torch datasets, or (x, y)"


def python(data: PythonData, seed: int, loss: str) -> Samples | tuple[Samples, Samples]:
    """Call the user's function, with global random states from the seed, which it may move.

    Returns:
        The training and the test split; or all samples, where the function has not split them.

    Raises:
        UserError: the function cannot be loaded, or raises.
        DatasetError: it returns something else, or numbers that are not finite.
    """
    from gradlab.networks.random_state import own_random_state  # torch, which the user's function most likely needs

    with own_random_state(seed):
        made = user_code.called(data.factory, data.options, seed=seed)
        with user_code.running(data.factory, user_code.place(data.factory)):
            parts = _parts(made)
    if parts is None:
        raise _wrong(data, f"returns {_kind(made)}; it must return {FORMS}")
    names = ["x", "y"] if len(parts) == 2 else ["x_train", "y_train", "x_test", "y_test"]
    x = [_features(data, name, part) for name, part in zip(names[::2], parts[::2], strict=True)]
    y = [_targets(data, name, part, loss) for name, part in zip(names[1::2], parts[1::2], strict=True)]
    for one, other, name in zip(x, y, names[::2], strict=True):
        if len(one) != len(other) or not len(one):
            raise _wrong(data, f"returns {len(one)} samples in {name}, and {len(other)} targets for them")
    for what, arrays in (("samples", x), ("targets", y)):
        kinds = [(one.shape[1:], one.dtype.kind) for one in arrays]
        if len(set(kinds)) > 1:
            raise _wrong(data, f"returns {what} for training and for test that differ in shape or in kind: {kinds}")
    splits = [Samples(one, other) for one, other in zip(x, y, strict=True)]
    return splits[0] if len(splits) == 1 else (splits[0], splits[1])


def _parts(made: Any) -> list[Array] | None:
    """The arrays that a function has returned, two or four; None of anything else."""
    if not isinstance(made, tuple | list) or len(made) not in (2, 4):
        return None
    if len(made) == 2 and all(hasattr(part, "__getitem__") and not hasattr(part, "shape") for part in made):
        if all(len(part) and isinstance(part[0], tuple | list) and len(part[0]) == 2 for part in made):
            return [array for part in made for array in _stacked(part)]
        return None
    return [_array(part) for part in made]


def _stacked(dataset: Any) -> tuple[Array, Array]:
    """All samples of a torch dataset, one after the other."""
    samples = [dataset[index] for index in range(len(dataset))]
    return np.stack([_array(x) for x, _ in samples]), np.stack([_array(y) for _, y in samples])


def _array(part: Any) -> Array:
    """An array, or a tensor wherever it is, as an array."""
    if hasattr(part, "detach"):
        part = part.detach().cpu()
        part = part.float() if str(part.dtype) == "torch.bfloat16" else part
        part = part.numpy()
    return np.asarray(part)


def _features(data: PythonData, name: str, part: Array) -> Features:
    if part.dtype.kind not in "biuf" or part.ndim < 1:
        raise _wrong(data, f"returns {part.dtype} in {name}; features must be numbers")
    if part.ndim == 1:
        part = part[:, None]
    if part.dtype.kind in "iu" and part.dtype.itemsize > 1:
        return part.astype(np.int64)
    return _finite(data, name, part.astype(np.float64))


def _targets(data: PythonData, name: str, part: Array, loss: str) -> Targets:
    if part.dtype.kind not in "biuf" or part.ndim < 1:
        raise _wrong(data, f"returns {part.dtype} in {name}; targets must be class numbers, or numbers to predict")
    whole = part.dtype.kind != "f" or (loss == "cross_entropy" and bool((part == np.round(part)).all()))
    if not whole:
        numbers = _finite(data, name, part.astype(np.float64))
        if numbers.ndim > 2:
            raise _wrong(data, f"returns numbers of shape {part.shape} in {name}; a sample has a row of them at most")
        return numbers[:, None] if numbers.ndim == 1 else numbers
    if part.size and part.min() < 0:
        raise _wrong(data, f"returns the class number {part.min()} in {name}; classes are counted from 0")
    return part.astype(np.int64)


def _finite(data: PythonData, name: str, part: NDArray[np.float64]) -> NDArray[np.float64]:
    if missing := int((~np.isfinite(part)).sum()):
        raise _wrong(data, f"returns {missing} of {part.size} numbers in {name} that are not finite")
    return part


def _wrong(data: PythonData, what: str) -> DatasetError:
    return DatasetError(f"{user_code.place(data.factory)}: {user_code.function_name(data.factory)} {what}")


def _kind(made: object) -> str:
    return f"{len(made)} things" if isinstance(made, tuple | list) else type(made).__name__
