"""The networks of the diagnosis benchmark: which are trained, how, and in which half.

Two sets, drawn once from a fixed seed. The *plain* set crosses ways to build a network with depths; width, batch size,
loss reduction and scale, and data are drawn for each. The *accidents* spoil one thing at a time, for the rules that no
plain network sets off. Thresholds may be tuned on the tuning half only; the halves share no seed and no depth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradlab.config import Config

Half = Literal["tuning", "held-out"]

DEPTHS: Mapping[Half, tuple[int, ...]] = {"tuning": (3, 6, 12, 20, 32), "held-out": (4, 8, 10, 16, 25, 40)}
REPLICATES: Mapping[Half, int] = {"tuning": 1, "held-out": 2}
FIRST_SEED: Mapping[Half, int] = {"tuning": 0, "held-out": 10_000}
VERY_DEEP: Mapping[Half, int] = {"tuning": 50, "held-out": 60}
"""Where sigmoid networks leave the range of float32."""
WIDTHS = (32, 64, 128)
BATCH_SIZES = (16, 64, 128, 512)
SCALES = (1e-4, 1.0, 1.0, 1e4)
STEPS = 100
COSTLIEST = 30e6
"""Multiplications of a forward pass beyond which width and batch size are drawn again: ten minutes are enough."""

SCALED_3 = {"name": "variance_scaling", "scale": 3.0}
SCALED_4 = {"name": "variance_scaling", "scale": 4.0}

NETWORKS: tuple[dict[str, Any], ...] = tuple(
    {"activation": activation, "initializer": initializer, **more}
    for activation, initializer, more in (
        ("relu", "he_normal", {}),
        ("relu", "kaiming_uniform", {}),
        ("relu", "glorot_uniform", {}),
        ("relu", "pytorch_default", {}),
        ("relu", SCALED_4, {}),
        ("leaky_relu", "he_normal", {}),
        ("leaky_relu", "lecun_normal", {}),
        ("tanh", "glorot_uniform", {}),
        ("tanh", "glorot_normal", {"bias_std": 0.1}),
        ("tanh", "orthogonal", {}),
        ("tanh", "pytorch_default", {}),
        ("tanh", SCALED_4, {}),
        ("hard_tanh", "glorot_uniform", {}),
        ("softsign", "glorot_uniform", {}),
        ("sigmoid", "glorot_uniform", {}),
        ("sigmoid", "pytorch_default", {}),
        ("softplus", "glorot_uniform", {}),
        ("identity", "glorot_uniform", {}),
        ("identity", "he_normal", {}),
        ("selu", "lecun_normal", {}),
        ("selu", SCALED_3, {}),
        ("elu", "he_normal", {}),
        ("elu", SCALED_4, {}),
        ("gelu", "he_normal", {}),
        ("silu", "glorot_uniform", {}),
        ("relu", "he_normal", {"batch_norm": "before"}),
        ("tanh", "glorot_uniform", {"batch_norm": "before"}),
        ("sigmoid", "glorot_uniform", {"batch_norm": "before"}),
        ("relu", "glorot_uniform", {"batch_norm": "after"}),
        ("identity", "glorot_uniform", {"residual": True}),
        ("relu", "he_normal", {"residual": True}),
        ("tanh", "pytorch_default", {"residual": True}),
    )
)
"""Ways to build a network: what the literature recommends, what it warns of, and what lies between."""


@dataclass(frozen=True)
class Case:
    """One network to train.

    Attributes:
        half: tuning or held-out.
        group: plain, or the name of the accident.
        config: what the diagnosis is told.
        reduction: of the loss over the batch.
        scale: a factor on the loss. The learning rate is divided by both, so that the training is the same.
        built: what is changed, behind the config's back, in the network that is really built.
    """

    half: Half
    group: str
    config: Config
    reduction: Literal["mean", "sum"] = "mean"
    scale: float = 1.0
    built: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        model = self.config.model
        norm = "" if model.normalization.where == "none" else f" BN-{model.normalization.where}"
        residual = " residual" if model.residual else ""
        return (
            f"{self.group}: {model.activation.name}/{_short(model.initializer)}{norm}{residual} "
            f"L{model.depth} n{model.hidden_widths[0]} B{self.config.data.batch_size} {self.config.data.name} "
            f"{self.reduction}×{self.scale:g} lr {self.config.train.learning_rate:.2g} seed {self.config.seed}"
        )


def _short(initializer: Any) -> str:
    options = initializer.model_dump(exclude={"name"}) if initializer.name in ("variance_scaling", "normal") else {}
    return "·".join([initializer.name, *(f"{options[key]:g}" for key in ("scale", "std") if key in options)])


def cases(half: Half) -> list[Case]:
    """All networks of a half."""
    rng = np.random.default_rng(FIRST_SEED[half])
    drawn = [*_plain(half, rng), *_accidents(half, rng)]
    seeds = range(FIRST_SEED[half], FIRST_SEED[half] + len(drawn))
    return [
        Case(**{**vars(case), "config": case.config.model_copy(update={"seed": seed})})
        for case, seed in zip(drawn, seeds, strict=True)
    ]


def _plain(half: Half, rng: np.random.Generator) -> Iterator[Case]:
    for depth in DEPTHS[half]:
        for network in NETWORKS:
            for _ in range(REPLICATES[half]):
                yield _case(half, "plain", rng, {**network, "depth": depth})


def _accidents(half: Half, rng: np.random.Generator) -> Iterator[Case]:
    relu = {"activation": "relu", "initializer": "he_normal"}
    tanh = {"activation": "tanh", "initializer": "glorot_uniform"}
    normalized = {**relu, "batch_norm": "before"}
    shallow, middle, deep = DEPTHS[half][0], DEPTHS[half][2], DEPTHS[half][-2]
    for _ in range(REPLICATES[half]):
        for network in (relu, tanh, normalized, {"activation": "selu", "initializer": "lecun_normal"}):
            for depth in (shallow, middle):
                yield _case(half, "rate ×100", rng, {**network, "depth": depth}, rate=100.0)
                yield _case(half, "rate ×1e-4", rng, {**network, "depth": depth}, rate=1e-4)
                yield _case(half, "rate ×10", rng, {**network, "depth": depth}, rate=10.0)
        for depth in (shallow, middle):
            for rate in (0.02, 0.1):
                yield _case(half, "Adam, large rate", rng, {**relu, "depth": depth}, adam=rate)
            for activation, initializer in (("relu", "zeros"), ("tanh", "constant"), ("sigmoid", "constant")):
                yield _case(
                    half, "equal units", rng, {"activation": activation, "initializer": initializer, "depth": depth}
                )
            for activation, std in (("tanh", 2.0), ("sigmoid", 3.0), ("hard_tanh", 1.0)):
                wide = {"activation": activation, "initializer": {"name": "normal", "std": std}}
                yield _case(half, "wide weights", rng, {**wide, "depth": depth})
            for told, built in (
                (relu, {"initializer": "glorot_uniform"}),
                (tanh, {"activation": "identity"}),
                (normalized, {"normalization": "none"}),
                (tanh, {"initializer": "pytorch_default"}),
            ):
                yield _case(half, "another network", rng, {**told, "depth": depth}, built=built)
        for depth in (middle, deep):
            for network in (normalized, {**tanh, "activation": "sigmoid", "batch_norm": "before"}):
                yield _case(half, "BatchNorm, rate ×30", rng, {**network, "depth": depth}, rate=30.0)
        for activation, initializer in (("sigmoid", "glorot_uniform"), ("sigmoid", "pytorch_default")):
            for scale in (1.0, 1e-4):
                network = {"activation": activation, "initializer": initializer, "depth": VERY_DEEP[half]}
                yield _case(half, "deep sigmoid", rng, network, scale=scale)


def _case(
    half: Half,
    group: str,
    rng: np.random.Generator,
    model: Mapping[str, Any],
    *,
    rate: float = 1.0,
    adam: float | None = None,
    scale: float | None = None,
    built: Mapping[str, Any] | None = None,
) -> Case:
    """A case with the rest drawn at random."""
    depth = model["depth"]
    while True:
        width, batch_size = int(rng.choice(WIDTHS)), int(rng.choice(BATCH_SIZES))
        if depth * width**2 * batch_size <= COSTLIEST:
            break
    scale = float(rng.choice(SCALES)) if scale is None else scale
    reduction = str(rng.choice(["mean", "sum"]))
    gaussian = {"name": "gaussian", "features": 64, "classes": 10, "samples": 2048}
    data = gaussian if rng.random() < 0.3 else {"name": "digits"}
    train = {
        "optimizer": {"name": "sgd", "momentum": 0.9} if adam is None else "adam",
        # effectively ten times that, with momentum; a fixed rate that suits 4 layers breaks 40
        "learning_rate": adam or rate * min(0.03, 0.15 / depth),
        "steps": STEPS,
    }
    config = Config.model_validate(
        {"model": {**model, "width": width}, "data": {**data, "batch_size": batch_size}, "train": train}
    )
    if adam is not None:  # Adam's steps do not follow the loss's scale; nothing to divide
        scale, reduction = 1.0, "mean"
    return Case(half, group, config, reduction, scale, tuple((built or {}).items()))  # type: ignore[arg-type]
