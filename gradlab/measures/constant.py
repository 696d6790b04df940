"""What a predictor reaches that ignores its input."""

from math import log

from gradlab.config import Config


def classes_of(config: Config | None) -> int | None:
    """How many classes a config's data has; None where that is not known from the config."""
    if config is None:
        return None
    known: int | None = getattr(config.data, "classes", None)
    return known if known is not None else config.data.facts.classes


def constant_loss(config: Config | None) -> float | None:
    """Loss of a predictor that gives all classes the same probability; None where the number of classes is unknown.

    For C equally frequent classes that is ln C of the cross-entropy, and (1 − 1/C)/C of the squared error.
    """
    classes = classes_of(config)
    if config is None or classes is None:
        return None
    return log(classes) if config.train.loss == "cross_entropy" else (1 - 1 / classes) / classes
