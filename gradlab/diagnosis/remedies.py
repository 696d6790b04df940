"""What to try, as overrides that fit a run's config: never what it already has, never more than a handful."""

from gradlab.config import Config

_HE = ("he_normal", "he_uniform", "kaiming_normal", "kaiming_uniform", "lsuv")
_GLOROT = ("glorot_uniform", "glorot_normal", "xavier_uniform", "xavier_normal", "orthogonal", "lsuv")
_LECUN = ("lecun_normal", "lecun_uniform", "lsuv")

INITIALIZERS = {
    "identity": _GLOROT,
    "sigmoid": _GLOROT,
    "hard_sigmoid": _GLOROT,
    "tanh": _GLOROT,
    "hard_tanh": _GLOROT,
    "softsign": _GLOROT,
    "softplus": _GLOROT,
    "relu": _HE,
    "relu6": _HE,
    "leaky_relu": _HE,
    "prelu": _HE,
    "elu": _HE,
    "celu": _HE,
    "selu": _LECUN,
    "gelu": _HE,
    "silu": _HE,
    "mish": _HE,
}
"""Initializers made for each activation (Glorot & Bengio 2010, He et al. 2015, Klambauer et al. 2017), the usual
one first."""

NOT_ZERO_CENTRED = ("sigmoid", "hard_sigmoid", "softplus")
"""Activations of slope below 1 around a positive mean: no initializer keeps a deep stack of them alive."""


def initializer(config: Config | None) -> list[str]:
    """An initializer made for the activation, where the run has another."""
    if config is None:
        return []
    fitting = INITIALIZERS[config.model.activation.name]
    return [] if config.model.initializer.name in fitting else [f"model.initializer={fitting[0]}"]


def start(config: Config | None) -> list[str]:
    """Against signals that vanish or explode in the untrained network."""
    if config is None:
        return []
    hopeless = config.model.activation.name in NOT_ZERO_CENTRED
    replace = ["model.activation=relu model.initializer=he_normal"] if hopeless else initializer(config)
    normalize = ["model.batch_norm=before"] if config.model.batch_norm == "none" else []
    tried = [*normalize, *replace] if hopeless else [*replace, *normalize]
    return tried or shallower(config)


def shallower(config: Config | None) -> list[str]:
    """Half the depth."""
    if config is None or config.model.depth < 2 or isinstance(config.model.width, list):
        return []
    return [f"model.depth={config.model.depth // 2}"]


def training(config: Config | None) -> list[str]:
    """Against trouble that came in training, where initialization is forgotten: smaller and clipped steps."""
    return [*learning_rate(config, 0.1), *clip(config)]


def learning_rate(config: Config | None, factor: float) -> list[str]:
    """The learning rate times a factor."""
    return [] if config is None else [f"train.learning_rate={config.train.learning_rate * factor:.2g}"]


def clip(config: Config | None) -> list[str]:
    """Gradient clipping, where there is none."""
    if config is None or config.train.clip_gradient_norm is not None:
        return []
    return ["train.clip_gradient_norm=1.0"]
