"""What columns and settings are called in pictures; which columns have a logarithmic axis, and which are shares."""

from gradlab.measures.network import is_own
from gradlab.measures.profiles import layer_names
from gradlab.statistics import STATISTICS
from gradlab.tables import Tables
from gradlab.text import one_line, setting_text

SELF_EXPLANATORY = ("activation", "initializer", "optimizer", "name", "data")
"""Settings whose values need no name beside them."""


def column_label(column: str) -> str:
    """The label of a column's axis."""
    return STATISTICS[column].label if column in STATISTICS else column.replace("_", " ")


def is_logarithmic(column: str) -> bool:
    """Whether a column grows and shrinks by factors."""
    return column in STATISTICS and STATISTICS[column].log


def is_share(column: str) -> bool:
    """Whether a column lies between 0 and 1."""
    return column == "accuracy" or (column in STATISTICS and STATISTICS[column].share)


def layer_label(run: Tables, layer: int) -> str:
    """A layer in words: `layer 3`; of a network of the user's own, the name of its module."""
    name = layer_names(run.layers).get(layer) if is_own(run) else None
    return one_line(name) if name else f"layer {layer}"


def setting_name(key: str) -> str:
    """The last part of a setting's key, in words: `learning rate`."""
    return key.rpartition(".")[2].replace("_", " ")


def setting_label(key: str, value: object) -> str:
    """A setting and its value: `depth 20`, but only `relu` for an activation, whose values speak for themselves."""
    text = value if isinstance(value, str) else setting_text(value)
    return text if setting_name(key) in SELF_EXPLANATORY else f"{setting_name(key)} {text}"
