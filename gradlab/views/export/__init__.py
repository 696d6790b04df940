"""A run in other programs' formats: TensorBoard's event files, a Weights & Biases run, CSV. Torch-free.

Names are the same in all of them, `delta_rms/03 2.linear`: grouped by statistic and sorted by layer. The command line
takes its choices from `TARGETS`, so nothing is imported here before it is needed.
"""

from collections.abc import Mapping

TARGETS: Mapping[str, str] = {
    "tensorboard": "gradlab.views.export.tensorboard:write_tensorboard",
    "wandb": "gradlab.views.export.wandb:write_wandb",
    "csv": "gradlab.views.export.csv:write_csv",
}
"""For each format, the function that writes a run into a folder, which it makes where it is missing.

The function returns where the export is. A new export is a function and an entry.
"""
