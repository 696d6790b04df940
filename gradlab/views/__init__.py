"""What people are shown: the terminal, pictures, comparisons, exports."""

from typing import Literal

PlotFormat = Literal["png", "svg", "pdf"]
"""The formats of pictures; in those of vectors, text stays text."""
