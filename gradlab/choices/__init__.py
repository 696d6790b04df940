"""What a config may name, torch-free: kinds of networks, activations, initializers, normalizations, datasets and
optimizers, with their options.

Each choice is a frozen pydantic model whose `name` (`kind` of a network) is the word in the config and whose docstring
is its line in `gradlab list`. The code that does the work (`networks`, `datasets`, `training`) looks up the same names;
tests hold both sides together.
"""

from gradlab.choices.activations import *
from gradlab.choices.base import Choice as Choice
from gradlab.choices.base import OneOf as OneOf
from gradlab.choices.base import Options as Options
from gradlab.choices.datasets import *
from gradlab.choices.initializers import *
from gradlab.choices.models import *
from gradlab.choices.normalizations import *
from gradlab.choices.optimizers import *
from gradlab.choices.schedules import *
