"""What columns and settings are called in pictures; which columns have a logarithmic axis, and which are shares."""

from gradlab.text import setting_text

COLUMN_LABELS = {
    "delta_rms": "RMS δ",
    "weight_gradient_norm": "norm of ∂L/∂W",
    "weight_norm": "norm of the weights",
    "update_ratio": "update ratio ‖ΔW‖/‖W‖",
    "activation_mean": "mean of activations",
    "activation_std": "std of activations",
    "activation_rms": "RMS of activations",
    "saturated_fraction": "saturated share",
    "zero_fraction": "share of zeros",
    "dead_fraction": "dead units",
    "revived_fraction": "revived units",
}
LOGARITHMIC = ("delta_rms", "weight_gradient_norm", "weight_norm", "update_ratio", "activation_rms")
SHARES = ("saturated_fraction", "zero_fraction", "dead_fraction", "revived_fraction", "accuracy")
SELF_EXPLANATORY = ("activation", "initializer", "optimizer", "name", "data")
"""Settings whose values need no name beside them."""


def column_label(column: str) -> str:
    """The label of a column's axis."""
    return COLUMN_LABELS.get(column, column.replace("_", " "))


def is_logarithmic(column: str) -> bool:
    """Whether a column grows and shrinks by factors."""
    return column in LOGARITHMIC


def is_share(column: str) -> bool:
    """Whether a column lies between 0 and 1."""
    return column in SHARES


def setting_name(key: str) -> str:
    """The last part of a setting's key, in words: `learning rate`."""
    return key.rpartition(".")[2].replace("_", " ")


def setting_label(key: str, value: object) -> str:
    """A setting and its value: `depth 20`, but only `relu` for an activation, whose values speak for themselves."""
    text = value if isinstance(value, str) else setting_text(value)
    return text if setting_name(key) in SELF_EXPLANATORY else f"{setting_name(key)} {text}"
