"""What hands out a snapshot (`gradlab.tables.Tables`): a run on disk, and a training that is watched.

Apart from `tables.py`, because a training that is only watched does not import polars, which takes 20 MB.
"""

from typing import TYPE_CHECKING, Any

PUBLIC = (
    "name",
    "path",
    "config",
    "status",
    "summary",
    "verdict",
    "findings",
    "not_judged",
    "layers",
    "steps",
    "evaluations",
    "histograms",
    "theory",
    "modules",
)
"""Attributes of a snapshot that a run and a watch have too."""

if TYPE_CHECKING:
    from gradlab.tables import Tables

    HasTables = Tables  # to a type checker, both have all that a snapshot has
else:

    class HasTables:
        """Has the attributes in `PUBLIC` of its snapshot, which is `self.tables`."""

        def __getattr__(self, name: str) -> Any:
            if name in PUBLIC:
                return getattr(self.tables, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def __dir__(self) -> list[str]:
            return sorted({*super().__dir__(), *PUBLIC})
