"""The config that `gradlab init` writes: every key with its default, and what it is for."""

from pathlib import Path

from gradlab.errors import UserError

STARTER = """\
# A gradlab experiment: a network, data, training, and what is recorded of it.
#
#   gradlab run config.yaml                     train, record, diagnose, plot
#   gradlab run config.yaml model.depth=50      the same with a change
#   gradlab list activations                    what a name may be (initializers, datasets, optimizers)

# name: config                  # of the run folder, runs/<name>-<id>; default: the name of this file
seed: 0
device: auto                    # auto | cpu | cuda | cuda:1 | mps
dtype: float32                  # float32 | float64

model:
  depth: 20                     # hidden layers; the output layer is extra
  width: 100                    # units a layer, or a list of `depth` numbers
  activation: relu              # or with options: {name: leaky_relu, negative_slope: 0.2}
  initializer: he_normal        # or with options: {name: normal, std: 0.01}
  bias_std: 0.0                 # biases start as N(0, bias_std²); 0 is zeros
  batch_norm: none              # none | before | after (the activation)
  residual: false               # x + block(x) wherever the widths match

data:
  name: digits                  # 1,797 handwritten digits that come with gradlab
  standardize: true             # zero mean, unit variance, fitted on the training split
  batch_size: 128
  test_fraction: 0.2

train:
  optimizer: sgd                # or with options: {name: sgd, momentum: 0.9}
  learning_rate: 0.05
  steps: 500                    # or epochs: 20, never both
  clip_gradient_norm: null      # largest norm of the whole gradient

record:
  every: 1                      # steps between records; the first and the last are always recorded
  histograms: 5                 # how many times in the run distributions are taken
  dead_units: 5                 # how many times a pass over the training split looks for dead units
"""


def write_starter(path: Path) -> None:
    """Write the starter config to a new file.

    Raises:
        UserError: the file exists, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(STARTER)
    except FileExistsError:
        raise UserError(f"{path} exists already", fix="Name another file: gradlab init other.yaml") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
