"""What a config may name, torch-free: activations, initializers, datasets and optimizers with their options.

Each choice is a frozen pydantic model whose `name` is the word in the config and whose docstring is its line in
`gradlab list`. The rooms that do the work (`networks`, `datasets`, `training`) dispatch on the same names; tests
hold both sides together.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Options(BaseModel):
    """Frozen, no unknown keys, no silent conversions: the base of everything in a config."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Choice(Options):
    """A named choice with options; written as the bare name where it has no option to tell."""

    name: str

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        fields = handler(self)
        return fields["name"] if list(fields) == ["name"] else fields


# ---------------------------------------------------------------------------------------------------- activations


class Identity(Choice):
    """x: a linear network, the reference case of every theory."""

    name: Literal["identity"] = "identity"


class Sigmoid(Choice):
    """1 / (1 + exp(−x)), the logistic function: slope at most 1/4, so deep stacks vanish."""

    name: Literal["sigmoid"] = "sigmoid"


class HardSigmoid(Choice):
    """clip(x/6 + 1/2, 0, 1): the logistic function in three straight pieces."""

    name: Literal["hard_sigmoid"] = "hard_sigmoid"


class Tanh(Choice):
    """tanh x: zero-centred, slope 1 at the origin."""

    name: Literal["tanh"] = "tanh"


class HardTanh(Choice):
    """clip(x, −1, 1): tanh in three straight pieces."""

    name: Literal["hard_tanh"] = "hard_tanh"


class Softsign(Choice):
    """x / (1 + |x|): tanh's shape with slower saturation (Glorot & Bengio 2010)."""

    name: Literal["softsign"] = "softsign"


class Softplus(Choice):
    """log(1 + exp(βx)) / β: a smooth ReLU."""

    name: Literal["softplus"] = "softplus"
    beta: Positive = 1.0
    """Sharpness β of the bend; large values approach ReLU."""


class ReLU(Choice):
    """max(0, x): keeps half of the signal, so it wants twice the variance (He et al. 2015)."""

    name: Literal["relu"] = "relu"


class ReLU6(Choice):
    """min(max(0, x), 6)."""

    name: Literal["relu6"] = "relu6"


class LeakyReLU(Choice):
    """x where x > 0, else negative_slope · x: never quite dead (Maas et al. 2013)."""

    name: Literal["leaky_relu"] = "leaky_relu"
    negative_slope: float = 0.01
    """Slope for x < 0."""


class PReLU(Choice):
    """A leaky ReLU that learns its slope, one a layer (He et al. 2015)."""

    name: Literal["prelu"] = "prelu"
    init: float = 0.25
    """Slope for x < 0 at the start."""


class ELU(Choice):
    """x where x > 0, else α(exp x − 1): tends to −α (Clevert et al. 2016)."""

    name: Literal["elu"] = "elu"
    alpha: Positive = 1.0
    """The value α that is approached, negated, for x → −∞."""


class CELU(Choice):
    """max(0, x) + min(0, α(exp(x/α) − 1)): ELU with a continuous slope for every α (Barron 2017)."""

    name: Literal["celu"] = "celu"
    alpha: Positive = 1.0
    """The value α that is approached, negated, for x → −∞."""


class SELU(Choice):
    """λ·ELU with the α and λ that make N(0, 1) a fixed point (Klambauer et al. 2017)."""

    name: Literal["selu"] = "selu"


class GELU(Choice):
    """x·Φ(x) (Hendrycks & Gimpel 2016)."""

    name: Literal["gelu"] = "gelu"
    approximate: Literal["none", "tanh"] = "none"
    """`tanh` for the approximation GPT-2 uses."""


class SiLU(Choice):
    """x·sigmoid(x), also called swish."""

    name: Literal["silu"] = "silu"


class Mish(Choice):
    """x·tanh(softplus(x)) (Misra 2019)."""

    name: Literal["mish"] = "mish"


# --------------------------------------------------------------------------------------------------- initializers


class GlorotUniform(Choice):
    """Uniform, Var W = 2/(fan_in + fan_out) (Glorot & Bengio 2010, eq. 16)."""

    name: Literal["glorot_uniform"] = "glorot_uniform"


class GlorotNormal(Choice):
    """Normal truncated at 2σ, Var W = 2/(fan_in + fan_out)."""

    name: Literal["glorot_normal"] = "glorot_normal"


class HeUniform(Choice):
    """Uniform, Var W = 2/fan_in: keeps ReLU's forward signal (He et al. 2015, eq. 10)."""

    name: Literal["he_uniform"] = "he_uniform"


class HeNormal(Choice):
    """Normal truncated at 2σ, Var W = 2/fan_in."""

    name: Literal["he_normal"] = "he_normal"


class LecunUniform(Choice):
    """Uniform, Var W = 1/fan_in (LeCun et al. 1998)."""

    name: Literal["lecun_uniform"] = "lecun_uniform"


class LecunNormal(Choice):
    """Normal truncated at 2σ, Var W = 1/fan_in: the one SELU needs (Klambauer et al. 2017)."""

    name: Literal["lecun_normal"] = "lecun_normal"


class Orthogonal(Choice):
    """A random (semi-)orthogonal matrix times gain (Saxe et al. 2014)."""

    name: Literal["orthogonal"] = "orthogonal"
    gain: Positive = 1.0
    """Factor on the orthogonal matrix: every singular value."""


class TruncatedNormal(Choice):
    """Normal with mean 0 and the given std, redrawn beyond two std, as Keras has it: Var W is 0.774 std²."""

    name: Literal["truncated_normal"] = "truncated_normal"
    std: Positive = 0.05
    """Standard deviation before truncation."""


class Normal(Choice):
    """Normal with mean 0 and the given std, whatever the fan."""

    name: Literal["normal"] = "normal"
    std: Positive = 0.05
    """Standard deviation."""


class Uniform(Choice):
    """Uniform on ±limit, whatever the fan."""

    name: Literal["uniform"] = "uniform"
    limit: Positive = 0.05
    """Half-width of the interval."""


class Zeros(Choice):
    """All zeros: the textbook mistake. Nothing ever moves."""

    name: Literal["zeros"] = "zeros"


class Constant(Choice):
    """One value everywhere: every unit of a layer stays a copy of the next."""

    name: Literal["constant"] = "constant"
    value: float = 0.05
    """The value."""


class VarianceScaling(Choice):
    """Var W = scale / fan: the family Glorot, He and LeCun belong to."""

    name: Literal["variance_scaling"] = "variance_scaling"
    scale: Positive = 1.0
    """Numerator of the variance."""
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    """Which fan divides it."""
    distribution: Literal["truncated_normal", "untruncated_normal", "uniform"] = "truncated_normal"
    """Shape of the distribution; the variance is the same for all three."""


class XavierUniform(Choice):
    """`torch.nn.init.xavier_uniform_`: uniform, Var W = gain² · 2/(fan_in + fan_out)."""

    name: Literal["xavier_uniform"] = "xavier_uniform"
    gain: Positive = 1.0
    """Factor on the standard deviation."""


class XavierNormal(Choice):
    """`torch.nn.init.xavier_normal_`: normal, not truncated, Var W = gain² · 2/(fan_in + fan_out)."""

    name: Literal["xavier_normal"] = "xavier_normal"
    gain: Positive = 1.0
    """Factor on the standard deviation."""


KaimingNonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


class KaimingUniform(Choice):
    """`torch.nn.init.kaiming_uniform_`: uniform, Var W = gain²/fan."""

    name: Literal["kaiming_uniform"] = "kaiming_uniform"
    a: float = 0.0
    """Negative slope, used with nonlinearity leaky_relu."""
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    """Which fan divides the variance."""
    nonlinearity: KaimingNonlinearity = "leaky_relu"
    """Chooses the gain, as `torch.nn.init.calculate_gain` has it."""


class KaimingNormal(Choice):
    """`torch.nn.init.kaiming_normal_`: normal, not truncated, Var W = gain²/fan."""

    name: Literal["kaiming_normal"] = "kaiming_normal"
    a: float = 0.0
    """Negative slope, used with nonlinearity leaky_relu."""
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    """Which fan divides the variance."""
    nonlinearity: KaimingNonlinearity = "leaky_relu"
    """Chooses the gain, as `torch.nn.init.calculate_gain` has it."""


class PytorchDefault(Choice):
    """Uniform on ±1/√fan_in, what `torch.nn.Linear` does: Var W = 1/(3 fan_in), the "old standard"."""

    name: Literal["pytorch_default"] = "pytorch_default"


class LSUV(Choice):
    """Orthogonal, then each layer scaled until its output has unit variance on a batch (Mishkin & Matas 2016)."""

    name: Literal["lsuv"] = "lsuv"
    tolerance: Positive = 0.01
    """How close to 1 the variance has to come."""
    max_iterations: Annotated[int, Field(ge=1)] = 10
    """Rescalings a layer at most."""


# ------------------------------------------------------------------------------------------------------- datasets


class Data(Choice):
    """What every data source shares."""

    standardize: bool = True
    """Zero mean and unit variance for each feature, fitted on the training split only."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Samples a step; at most the training split. An epoch drops its last incomplete batch."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the samples held out for testing, drawn with the config's seed and stratified by class."""


class Digits(Data):
    """1,797 handwritten digits of 8 × 8 pixels in 10 classes, in the package: no download (Alpaydin & Kaynak 1998)."""

    name: Literal["digits"] = "digits"


class BreastCancer(Data):
    """569 tumours described by 30 measurements, benign or malignant, in the package (Street et al. 1993)."""

    name: Literal["breast_cancer"] = "breast_cancer"


class Wine(Data):
    """178 wines described by 13 measurements, from 3 growers, in the package (Aeberhard & Forina 1991)."""

    name: Literal["wine"] = "wine"


class Gaussian(Data):
    """N(0, 1) inputs with the labels of a random linear teacher: what mean-field theory assumes."""

    name: Literal["gaussian"] = "gaussian"
    features: Annotated[int, Field(ge=1)] = 64
    """Input dimension."""
    classes: Annotated[int, Field(ge=2)] = 10
    """Number of classes."""
    samples: Annotated[int, Field(ge=2)] = 2048
    """Samples, training and test together."""


class Spirals(Data):
    """Points in the plane on interleaved spiral arms, an arm a class: small, and not linearly separable."""

    name: Literal["spirals"] = "spirals"
    classes: Annotated[int, Field(ge=2)] = 3
    """Number of arms."""
    samples: Annotated[int, Field(ge=2)] = 1500
    """Samples, training and test together."""
    noise: NonNegative = 0.1
    """Standard deviation of the points around their arm, in units of the spiral's radius."""
    turns: Positive = 1.0
    """Turns an arm makes."""


class File(Data):
    """Your own table: .npz (arrays x and the target), .csv or .parquet with a column of class labels."""

    name: Literal["file"] = "file"
    path: Path = Field(strict=False)
    """The file; in a config file relative to that file, on the command line to the working directory."""
    target: Annotated[str, Field(min_length=1)] = "target"
    """Column (or .npz array) with the class labels; every other column is a feature."""


class OpenML(Data):
    """Any dataset of openml.org by name or id, downloaded once and cached by scikit-learn."""

    name: Literal["openml"] = "openml"
    dataset: Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=1)]
    """Name (`Fashion-MNIST`, `mnist_784`, `CIFAR_10`) or numeric id."""
    version: Annotated[int, Field(ge=1)] | Literal["active"] = "active"
    """Version of a dataset given by name."""
    samples: Annotated[int, Field(ge=2)] | None = None
    """Use a stratified random subset of this many samples; null takes all."""


# ----------------------------------------------------------------------------------------------------- optimizers

Betas = Annotated[tuple[Fraction, Fraction], Field(strict=False)]


class Optimizer(Choice):
    """What every optimizer shares: the learning rate stands beside it, in `train.learning_rate`."""


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


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015)."""

    name: Literal["adam"] = "adam"
    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""
    eps: NonNegative = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""
    amsgrad: bool = False
    """The AMSGrad variant."""
    decoupled_weight_decay: bool = False
    """Decay the weights directly, as AdamW does."""


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""
    eps: NonNegative = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.01
    """Decoupled weight decay."""
    amsgrad: bool = False
    """The AMSGrad variant."""


class NAdam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2016)."""

    name: Literal["nadam"] = "nadam"
    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""
    eps: NonNegative = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""
    momentum_decay: NonNegative = 0.004
    """Decay of the momentum schedule."""
    decoupled_weight_decay: bool = False
    """Decay the weights directly, as AdamW does."""


class RAdam(Optimizer):
    """Rectified Adam (Liu et al. 2020)."""

    name: Literal["radam"] = "radam"
    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""
    eps: NonNegative = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""
    decoupled_weight_decay: bool = False
    """Decay the weights directly, as AdamW does."""


class Adamax(Optimizer):
    """Adam with the infinity norm (Kingma & Ba 2015, §7)."""

    name: Literal["adamax"] = "adamax"
    betas: Betas = (0.9, 0.999)
    """Decay of the running mean of the gradient and of its infinity norm."""
    eps: NonNegative = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """L2 penalty."""


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
    max_iter: Annotated[int, Field(ge=1)] = 20
    """Iterations a step."""
    max_eval: Annotated[int, Field(ge=1)] | None = None
    """Evaluations a step; null is 1.25 × max_iter."""
    tolerance_grad: NonNegative = 1e-7
    """Stops a step at this gradient."""
    tolerance_change: NonNegative = 1e-9
    """Stops a step at this change."""
    history_size: Annotated[int, Field(ge=1)] = 100
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


# ------------------------------------------------------------------------------------------------------- registries


def _by_name(*choices: type[Choice]) -> Mapping[str, type[Choice]]:
    return MappingProxyType({choice.model_fields["name"].default: choice for choice in choices})


ACTIVATIONS = _by_name(
    Identity, Sigmoid, HardSigmoid, Tanh, HardTanh, Softsign, Softplus, ReLU, ReLU6, LeakyReLU, PReLU, ELU, CELU,
    SELU, GELU, SiLU, Mish,
)  # fmt: skip
INITIALIZERS = _by_name(
    GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal, TruncatedNormal, Normal,
    Uniform, Zeros, Constant, VarianceScaling, XavierUniform, XavierNormal, KaimingUniform, KaimingNormal,
    PytorchDefault, LSUV,
)  # fmt: skip
DATASETS = _by_name(Digits, BreastCancer, Wine, Gaussian, Spirals, File, OpenML)
OPTIMIZERS = _by_name(
    SGD, Adam, AdamW, NAdam, RAdam, Adamax, Adagrad, Adadelta, Adafactor, RMSprop, Rprop, ASGD, LBFGS, Muon
)  # fmt: skip

ALIASES: Mapping[str, str] = MappingProxyType({"logistic": "sigmoid", "linear": "identity", "swish": "silu"})
"""Other words for activations."""
