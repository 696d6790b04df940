"""Data sources, as NumPy arrays. Tensors are made where training begins."""

from gradlab.datasets.dataset import Dataset
from gradlab.datasets.loading import load

__all__ = ["Dataset", "load"]
