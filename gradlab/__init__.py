"""gradlab: see gradients vanish and explode, layer by layer."""

__version__ = "0.1.0"
