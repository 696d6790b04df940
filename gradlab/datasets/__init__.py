"""Data sources, as NumPy arrays. Tensors are made where training begins."""

from gradlab.datasets.dataset import Dataset, input_shape
from gradlab.datasets.loading import load, load_for

__all__ = ["Dataset", "input_shape", "load", "load_for"]
