"""Remedies: things that are worth trying.

Of a configured run, they are overrides of its config, and none repeats what the config already has. Where there is no
config, or its model has no such option, each is a sentence.
"""

from gradlab.config import Config


def initializer(config: Config | None) -> list[str]:
    """An initializer made for the activation, if the run has another one."""
    has = None if config is None else config.model.weight_initializer
    if config is None or has is None:
        return ["Draw the initial weights at random, in a size made for the activation: He for ReLU, Glorot for tanh."]
    activation = config.model.hidden_activation
    if activation is None or has.name in activation.traits.initializers:
        return []
    return [f"model.initializer={name}" for name in activation.traits.initializers[:1]]


def start(config: Config | None) -> list[str]:
    """Remedies for signals that vanish or explode in the untrained network."""
    if config is None or config.model.weight_initializer is None:
        said = [*initializer(None), "Put a normalization in front of each activation."]
        return said if config is None else [*said, *adaptive(config), *warmup(config), *training(config)]
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


def smaller_steps(config: Config | None) -> list[str]:
    """Remedies for signals that fade, or units that saturate, in training: clipping helps against large gradients."""
    return training(config) if config is not None else learning_rate(config, 0.1)


def learning_rate(config: Config | None, factor: float) -> list[str]:
    """The learning rate times a factor."""
    if config is None:
        return [f"{'Multiply' if factor > 1 else 'Divide'} the learning rate by {max(factor, 1 / factor):.3g}."]
    return [f"train.learning_rate={config.train.learning_rate * factor:.2g}"]


def adaptive(config: Config) -> list[str]:
    """Adam, if steps are in proportion to the gradient: what helps where the layers are out of reach."""
    proportional = config.train.optimizer.name in ("sgd", "asgd")
    return ["train.optimizer=adam train.learning_rate=0.001"] if proportional else []


def warmup(config: Config) -> list[str]:
    """A learning rate that rises over the first tenth of the run, if it does not yet."""
    steps, schedule = config.train.steps, config.train.schedule
    return [] if steps is None or steps < 10 or schedule.warmup else [f"train.schedule.warmup={steps // 10}"]


def clip(config: Config | None) -> list[str]:
    """Gradient clipping, if the run has none."""
    if config is None:
        return ["Clip the norm of the gradient before each update."]
    return [] if config.train.clip_gradient_norm is not None else ["train.clip_gradient_norm=1.0"]


def leaky(config: Config | None) -> list[str]:
    """An activation that cannot die."""
    if config is None or config.model.hidden_activation is None:
        return ["Use an activation with a slope below zero, such as LeakyReLU, so that no unit can die."]
    return ["model.activation=leaky_relu"]
