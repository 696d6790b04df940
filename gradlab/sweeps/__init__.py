"""Sweeps: a sweep file becomes many configs, and an engine runs each of them once."""
