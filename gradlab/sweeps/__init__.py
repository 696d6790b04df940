"""Many runs at once: a grid of settings ─► configs ─► an engine that runs them ─► run folders."""

from collections.abc import Mapping

ENGINES: Mapping[str, str] = {
    "local": "gradlab.sweeps.local:LocalEngine",
    "ray": "gradlab.sweeps.ray:RayEngine",
}
"""The class of each engine (`gradlab.sweeps.engine.Engine`). A new engine is a file and an entry."""
