"""Data sources: their options, and beside each what is known of it (`Facts`).

The samples themselves come from the modules of `gradlab.datasets`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gradlab.choices.base import (
    Choice,
    Classes,
    Code,
    Count,
    NamedOptions,
    NonNegative,
    Positive,
    Samples,
    Size,
    by_name,
    called_text,
)


@dataclass(frozen=True)
class Facts:
    """What loading, sweeps and rules have to know of a data source.

    Attributes:
        module: the file of `gradlab.datasets` that has a function of the source's name, which makes its samples.
        classes: how many classes it has, where that is neither an option nor only known from the data.
        commonest: share of its most frequent class, where classes come in known and unequal shares.
        endless: whether the module also has a function `draw`, with which training never sees a sample twice.
        from_outside: whether the samples are not in the package, so that they may be missing.
        any_target: whether targets may be classes or numbers; its function is then told the loss.
    """

    module: str
    classes: int | None = None
    commonest: float | None = None
    endless: bool = False
    from_outside: bool = False
    any_target: bool = False


class Data(Choice):
    """What every data source shares."""

    facts: ClassVar[Facts]
    """What is known of it."""

    standardize: bool = True
    """Zero mean and unit variance for each feature, fitted on the training split only."""
    batch_size: Count | Literal["full"] = 128
    """Samples a step; at most the training split, which is full. An epoch drops its last incomplete batch."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the samples held out for testing, drawn with the config's seed and stratified by class."""

    def samples_per_step(self, samples: int) -> int:
        """Samples in each batch of a training split of so many."""
        return samples if self.batch_size == "full" else min(self.batch_size, samples)


class Digits(Data):
    """1,797 handwritten digits of 8 × 8 pixels in 10 classes, in the package: no download (Alpaydin & Kaynak 1998)."""

    name: Literal["digits"] = "digits"
    facts = Facts(module="bundled", classes=10)


class BreastCancer(Data):
    """569 tumours described by 30 measurements, benign or malignant, in the package (Street et al. 1993)."""

    name: Literal["breast_cancer"] = "breast_cancer"
    facts = Facts(module="bundled", classes=2)


class Wine(Data):
    """178 wines described by 13 measurements, from 3 growers, in the package (Aeberhard & Forina 1991)."""

    name: Literal["wine"] = "wine"
    facts = Facts(module="bundled", classes=3)


class Gaussian(Data):
    """N(0, 1) inputs with the labels of a random linear teacher: what mean-field theory assumes."""

    name: Literal["gaussian"] = "gaussian"
    facts = Facts(module="synthetic")
    features: Size = 64
    """Input dimension."""
    classes: Classes = 10
    """Number of classes."""
    samples: Samples = 2048
    """Samples, training and test together."""


class Spirals(Data):
    """Points in the plane on interleaved spiral arms, an arm a class: small, and not linearly separable."""

    name: Literal["spirals"] = "spirals"
    facts = Facts(module="synthetic")
    classes: Classes = 3
    """Number of arms."""
    samples: Samples = 1500
    """Samples, training and test together."""
    noise: NonNegative = 0.1
    """Standard deviation of the points around their arm, in units of the spiral's radius."""
    turns: Positive = 1.0
    """Turns an arm makes."""


class Shapeset(Data):
    """Images of 32 × 32 pixels, one or two grey shapes, 9 classes, drawn without end (Glorot & Bengio 2010)."""

    name: Literal["shapeset"] = "shapeset"
    facts = Facts(module="shapeset", classes=9, commonest=1 / 6, endless=True)
    samples: Samples = 4096
    """Samples that stay, training and test together: for standardization, evaluations and the search for dead units.
    Every step trains on new ones, which it sees once; an epoch is as many as the training split has."""


class Teacher(Data):
    """N(0, 1) inputs and the numbers that a random linear teacher makes of them, for train.loss=mse."""

    name: Literal["teacher"] = "teacher"
    facts = Facts(module="synthetic")
    features: Size = 64
    """Input dimension."""
    outputs: Size = 1
    """Numbers that the teacher makes of a sample, each of variance 1."""
    samples: Samples = 2048
    """Samples, training and test together."""
    noise: NonNegative = 0.0
    """Standard deviation of what is added to the numbers."""


class Function(Data):
    """A function of one number, uniform between −√3 and √3, such as |x|, for train.loss=mse (Lu et al. 2019)."""

    name: Literal["function"] = "function"
    facts = Facts(module="synthetic")
    of: Literal["abs", "square", "sin", "step"] = "abs"
    """abs |x|, square x², sin of 5x, or step: 1 where x > 0, else 0."""
    samples: Samples = 3000
    """Samples, training and test together."""
    noise: NonNegative = 0.0
    """Standard deviation of what is added to the numbers."""


class File(Data):
    """Your own table: .npz (arrays x and the target), .csv or .parquet; the target is class labels, or numbers."""

    name: Literal["file"] = "file"
    facts = Facts(module="files", from_outside=True, any_target=True)
    path: Path = Field(strict=False)
    """The file; in a config file relative to that file, on the command line to the working directory."""
    target: Annotated[str, Field(min_length=1)] = "target"
    """Column (or .npz array) with the class labels; every other column is a feature. With train.loss=mse, numbers that
    are no classes (fractions, values that occur once, too many values) are predicted as they are."""


class OpenML(Data):
    """Any dataset of openml.org by name or id, downloaded once and cached by scikit-learn."""

    name: Literal["openml"] = "openml"
    facts = Facts(module="openml", from_outside=True)
    dataset: Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=1)]
    """Name (`Fashion-MNIST`, `mnist_784`, `CIFAR_10`) or numeric id."""
    version: Annotated[int, Field(ge=1)] | Literal["active"] = "active"
    """Version of a dataset given by name."""
    samples: Samples | None = None
    """Use a stratified random subset of this many samples; null takes all."""


class PythonData(Data):
    """Your own: a Python function that returns arrays or tensors of any shape, or torch datasets."""

    name: Literal["python"] = "python"
    facts = Facts(module="own", from_outside=True, any_target=True)
    code: ClassVar[str] = "factory"
    factory: Code
    """`data.py:load` for the function load of the file data.py, or `package.module:load`. It is called with the options
    and, where it has an argument of this name, with a `seed`, and returns `(x_train, y_train, x_test, y_test)`, a pair
    of torch datasets for training and test, or `(x, y)`, of which `test_fraction` is held out. Integers in y are
    classes; with train.loss=mse floating point numbers are predicted. Integers in x stay integers, but for bytes."""
    options: NamedOptions = Field({})
    """What it is called with, by the names of its arguments."""
    standardize: bool = False
    """Zero mean and unit variance for each feature, fitted on the training split; integers stay as they are."""

    @property
    def label(self) -> str:
        """The function and its options."""
        return called_text(self.factory, self.options)


DATASETS: Mapping[str, type[Data]] = by_name(
    Digits,
    BreastCancer,
    Wine,
    Gaussian,
    Spirals,
    Shapeset,
    Teacher,
    Function,
    File,
    OpenML,
    PythonData,
)
