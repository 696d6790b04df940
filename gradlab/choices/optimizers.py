"""Optimizers of `torch.optim`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gradlab.choices.base import Choice, Fraction, NonNegative, Positive, Size, by_name

Betas = Annotated[tuple[Fraction, Fraction], Field(strict=False)]


class Optimizer(Choice):
    """What every optimizer shares: the learning rate stands beside it, in `train.learning_rate`.

    A choice has the name of its class in `torch.optim`, and the options that it has there.
    """


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with (Nesterov) momentum."""

    name: Literal["sgd"] = "sgd"
    momentum: NonNegative = 0.0
    """Share of the last step that is carried into the next."""
    dampening: float = 0.0
    """Damps the gradient that enters the momentum."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""
    nesterov: bool = False
    """Nesterov's variant; needs momentum and no dampening."""

    @model_validator(mode="after")
    def _nesterov(self) -> "SGD":
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs a momentum above 0 and dampening 0")
        return self


class AdamOptions(Optimizer):
    """What Adam and its relatives share."""

    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""
    eps: NonNegative = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""


class Adam(AdamOptions):
    """Adaptive moments (Kingma & Ba 2015)."""

    name: Literal["adam"] = "adam"
    amsgrad: bool = False
    """The AMSGrad variant."""
    decoupled_weight_decay: bool = False
    """Decay the weights directly, as AdamW does."""


class AdamW(AdamOptions):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    weight_decay: NonNegative = 0.01
    """Decoupled weight decay."""
    amsgrad: bool = False
    """The AMSGrad variant."""


class NAdam(AdamOptions):
    """Adam with Nesterov momentum (Dozat 2016)."""

    name: Literal["nadam"] = "nadam"
    momentum_decay: NonNegative = 0.004
    """Decay of the momentum schedule."""
    decoupled_weight_decay: bool = False
    """Decay the weights directly, as AdamW does."""


class RAdam(AdamOptions):
    """Rectified Adam (Liu et al. 2020)."""

    name: Literal["radam"] = "radam"
    decoupled_weight_decay: bool = False
    """Decay the weights directly, as AdamW does."""


class Adamax(AdamOptions):
    """Adam with the infinity norm (Kingma & Ba 2015, §7)."""

    name: Literal["adamax"] = "adamax"
    betas: Betas = (0.9, 0.999)
    """Decay of the running mean of the gradient and of its infinity norm."""


class Adagrad(Optimizer):
    """Step sizes from the sum of all past squared gradients (Duchi et al. 2011)."""

    name: Literal["adagrad"] = "adagrad"
    lr_decay: NonNegative = 0.0
    """Decay of the learning rate."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""
    initial_accumulator_value: NonNegative = 0.0
    """Where the sum starts."""
    eps: NonNegative = 1e-10
    """Added to the denominator."""


class Adadelta(Optimizer):
    """Step sizes from running means of squared gradients and squared steps (Zeiler 2012)."""

    name: Literal["adadelta"] = "adadelta"
    rho: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Decay of the running means."""
    eps: NonNegative = 1e-6
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""


class Adafactor(Optimizer):
    """Adam with a factored second moment (Shazeer & Stern 2018)."""

    name: Literal["adafactor"] = "adafactor"
    beta2_decay: Annotated[float, Field(le=0)] = -0.8
    """Exponent of the second moment's decay."""
    d: Annotated[float, Field(ge=1)] = 1.0
    """Clipping threshold of the update's RMS."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay."""


class RMSprop(Optimizer):
    """Step sizes from a running mean of squared gradients (Tieleman & Hinton 2012)."""

    name: Literal["rmsprop"] = "rmsprop"
    alpha: NonNegative = 0.99
    """Decay of the running mean."""
    eps: NonNegative = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""
    momentum: NonNegative = 0.0
    """Share of the last step that is carried into the next."""
    centered: bool = False
    """Divide by the standard deviation instead of the RMS."""


class Rprop(Optimizer):
    """Signs of full-batch gradients only (Riedmiller & Braun 1993)."""

    name: Literal["rprop"] = "rprop"
    etas: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1)]], Field(strict=False)] = (
        0.5,
        1.2,
    )
    """Factors that shrink and grow the step."""
    step_sizes: Annotated[tuple[NonNegative, Positive], Field(strict=False)] = (1e-6, 50.0)
    """Smallest and largest step."""


class ASGD(Optimizer):
    """Averaged stochastic gradient descent (Polyak & Juditsky 1992)."""

    name: Literal["asgd"] = "asgd"
    lambd: float = 1e-4
    """Decay term."""
    alpha: float = 0.75
    """Power of the learning rate's decay."""
    t0: NonNegative = 1e6
    """Step at which averaging starts."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""


class LBFGS(Optimizer):
    """Quasi-Newton; evaluates a batch several times a step, of which the first is recorded (Liu & Nocedal 1989)."""

    name: Literal["lbfgs"] = "lbfgs"
    max_iter: Size = 20
    """Iterations a step."""
    max_eval: Size | None = None
    """Evaluations a step; null is 1.25 × max_iter."""
    tolerance_grad: NonNegative = 1e-7
    """Stops a step at this gradient."""
    tolerance_change: NonNegative = 1e-9
    """Stops a step at this change."""
    history_size: Size = 100
    """Updates kept for the Hessian."""
    line_search_fn: Literal["strong_wolfe"] | None = None
    """Line search."""


class Muon(Optimizer):
    """Orthogonalized momentum for the weight matrices (Jordan et al. 2024); biases and norms train with AdamW."""

    name: Literal["muon"] = "muon"
    weight_decay: NonNegative = 0.1
    """Decoupled weight decay of the matrices."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Share of the last step that is carried into the next."""
    nesterov: bool = True
    """Nesterov's variant."""
    ns_steps: Annotated[int, Field(ge=1, lt=100)] = 5
    """Newton–Schulz iterations."""
    eps: Positive = 1e-7
    """Added to the norm."""


OPTIMIZERS: Mapping[str, type[Optimizer]] = by_name(
    SGD,
    Adam,
    AdamW,
    NAdam,
    RAdam,
    Adamax,
    Adagrad,
    Adadelta,
    Adafactor,
    RMSprop,
    Rprop,
    ASGD,
    LBFGS,
    Muon,
)
