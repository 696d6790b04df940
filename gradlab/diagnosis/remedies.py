"""Remedies: overrides of a run's config that are worth trying. None repeats what the config already has."""

from gradlab.config import Config


def initializer(config: Config | None) -> list[str]:
    """An initializer made for the activation, if the run has another one."""
    if config is None:
        return []
    activation, has = config.model.hidden_activation, config.model.weight_initializer
    if activation is None or has is None or has.name in activation.traits.initializers:
        return []
    return [f"model.initializer={activation.traits.initializers[0]}"]


def start(config: Config | None) -> list[str]:
    """Remedies for signals that vanish or explode in the untrained network."""
    if config is None:
        return []
    activation, norm = config.model.hidden_activation, config.model.hidden_normalization
    hopeless = activation is not None and not activation.traits.zero_centred
    replace = ["model.activation=relu model.initializer=he_normal"] if hopeless else initializer(config)
    normalize = ["model.batch_norm=before"] if norm is not None and norm.where == "none" else []
    tried = [*normalize, *replace] if hopeless else [*replace, *normalize]
    return tried or shallower(config)


def shallower(config: Config | None) -> list[str]:
    """Half the depth, if it is at least 2 and all layers have the same width."""
    widths = None if config is None else config.model.hidden_widths
    if widths is None or len(widths) < 2 or len(set(widths)) > 1:
        return []
    return [f"model.depth={len(widths) // 2}"]


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
