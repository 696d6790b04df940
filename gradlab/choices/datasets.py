"""Data sources: their options, and beside each what is known of it (`Facts`).

The samples themselves come from the modules of `gradlab.datasets`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gradlab.choices.base import Choice, Classes, Count, NonNegative, Positive, Samples, Size, by_name


@dataclass(frozen=True)
class Facts:
    """What loading, sweeps and rules have to know of a data source.

    Attributes:
        module: the file of `gradlab.datasets` that has a function of the source's name, which makes its samples.
        classes: how many classes it has, where that is neither an option nor only known from the data.
        commonest: share of its most frequent class, where classes come in known and unequal shares.
        endless: whether the module also has a function `draw`, with which training never sees a sample twice.
        from_outside: whether the samples are not in the package, so that they may be missing.
    """

    module: str
    classes: int | None = None
    commonest: float | None = None
    endless: bool = False
    from_outside: bool = False


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


class File(Data):
    """Your own table: .npz (arrays x and the target), .csv or .parquet with a column of class labels."""

    name: Literal["file"] = "file"
    facts = Facts(module="files", from_outside=True)
    path: Path = Field(strict=False)
    """The file; in a config file relative to that file, on the command line to the working directory."""
    target: Annotated[str, Field(min_length=1)] = "target"
    """Column (or .npz array) with the class labels; every other column is a feature."""


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


DATASETS: Mapping[str, type[Data]] = by_name(
    Digits,
    BreastCancer,
    Wine,
    Gaussian,
    Spirals,
    Shapeset,
    File,
    OpenML,
)
