"""Remedies: overrides of a run's config that are worth trying. None repeats what the config already has."""

from gradlab.config import Config


def initializer(config: Config | None) -> list[str]:
    """An initializer made for the activation, if the run has another one."""
    if config is None:
        return []
    fitting = config.model.activation.traits.initializers
    return [] if config.model.initializer.name in fitting else [f"model.initializer={fitting[0]}"]


def start(config: Config | None) -> list[str]:
    """Remedies for signals that vanish or explode in the untrained network."""
    if config is None:
        return []
    hopeless = not config.model.activation.traits.zero_centred
    replace = ["model.activation=relu model.initializer=he_normal"] if hopeless else initializer(config)
    normalize = ["model.batch_norm=before"] if config.model.batch_norm == "none" else []
    tried = [*normalize, *replace] if hopeless else [*replace, *normalize]
    return tried or shallower(config)


def shallower(config: Config | None) -> list[str]:
    """Half the depth, if it is at least 2 and all layers have the same width."""
    if config is None or config.model.depth < 2 or isinstance(config.model.width, list):
        return []
    return [f"model.depth={config.model.depth // 2}"]


def training(config: Config | None) -> list[str]:
    """Remedies for trouble that came in training, long after initialization: smaller steps, clipped gradients."""
    return [*learning_rate(config, 0.1), *clip(config)]


def learning_rate(config: Config | None, factor: float) -> list[str]:
    """The learning rate times a factor."""
    return [] if config is None else [f"train.learning_rate={config.train.learning_rate * factor:.2g}"]


def clip(config: Config | None) -> list[str]:
    """Gradient clipping, if the run has none."""
    if config is None or config.train.clip_gradient_norm is not None:
        return []
    return ["train.clip_gradient_norm=1.0"]
