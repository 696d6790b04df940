"""Initializers of weights."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from gradlab.choices.base import Choice, Code, Positive, Size, by_name
from gradlab.user_code import function_name


class Initializer(Choice):
    """The base of all initializers."""


class GlorotUniform(Initializer):
    """Uniform, Var W = 2/(fan_in + fan_out) (Glorot & Bengio 2010, eq. 16)."""

    name: Literal["glorot_uniform"] = "glorot_uniform"


class GlorotNormal(Initializer):
    """Normal truncated at 2σ, Var W = 2/(fan_in + fan_out)."""

    name: Literal["glorot_normal"] = "glorot_normal"


class HeUniform(Initializer):
    """Uniform, Var W = 2/fan_in: keeps ReLU's forward signal (He et al. 2015, eq. 10)."""

    name: Literal["he_uniform"] = "he_uniform"


class HeNormal(Initializer):
    """Normal truncated at 2σ, Var W = 2/fan_in."""

    name: Literal["he_normal"] = "he_normal"


class LecunUniform(Initializer):
    """Uniform, Var W = 1/fan_in (LeCun et al. 1998)."""

    name: Literal["lecun_uniform"] = "lecun_uniform"


class LecunNormal(Initializer):
    """Normal truncated at 2σ, Var W = 1/fan_in: the one SELU needs (Klambauer et al. 2017)."""

    name: Literal["lecun_normal"] = "lecun_normal"


class Orthogonal(Initializer):
    """A random (semi-)orthogonal matrix times gain (Saxe et al. 2014)."""

    name: Literal["orthogonal"] = "orthogonal"
    gain: Positive = 1.0
    """Factor on the orthogonal matrix: every singular value."""


class TruncatedNormal(Initializer):
    """Normal with mean 0 and the given std, redrawn beyond two std, as Keras has it: Var W is 0.774 std²."""

    name: Literal["truncated_normal"] = "truncated_normal"
    std: Positive = 0.05
    """Standard deviation before truncation."""


class Normal(Initializer):
    """Normal with mean 0 and the given std, whatever the fan."""

    name: Literal["normal"] = "normal"
    std: Positive = 0.05
    """Standard deviation."""


class Uniform(Initializer):
    """Uniform on ±limit, whatever the fan."""

    name: Literal["uniform"] = "uniform"
    limit: Positive = 0.05
    """Half-width of the interval."""


class Zeros(Initializer):
    """All zeros: the textbook mistake. Nothing ever moves."""

    name: Literal["zeros"] = "zeros"


class Constant(Initializer):
    """One value everywhere: every unit of a layer stays a copy of the next."""

    name: Literal["constant"] = "constant"
    value: float = 0.05
    """The value."""


class VarianceScaling(Initializer):
    """Var W = scale / fan: the family Glorot, He and LeCun belong to."""

    name: Literal["variance_scaling"] = "variance_scaling"
    scale: Positive = 1.0
    """Numerator of the variance."""
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    """Which fan divides it."""
    distribution: Literal["truncated_normal", "untruncated_normal", "uniform"] = "truncated_normal"
    """Shape of the distribution; the variance is the same for all three."""


class XavierUniform(Initializer):
    """`torch.nn.init.xavier_uniform_`: uniform, Var W = gain² · 2/(fan_in + fan_out)."""

    name: Literal["xavier_uniform"] = "xavier_uniform"
    gain: Positive = 1.0
    """Factor on the standard deviation."""


class XavierNormal(Initializer):
    """`torch.nn.init.xavier_normal_`: normal, not truncated, Var W = gain² · 2/(fan_in + fan_out)."""

    name: Literal["xavier_normal"] = "xavier_normal"
    gain: Positive = 1.0
    """Factor on the standard deviation."""


class KaimingOptions(Initializer):
    """What both of PyTorch's `kaiming` initializers share."""

    a: float = 0.0
    """Negative slope, used with nonlinearity leaky_relu."""
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    """Which fan divides the variance."""
    nonlinearity: Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"] = "leaky_relu"
    """Chooses the gain, as `torch.nn.init.calculate_gain` has it."""


class KaimingUniform(KaimingOptions):
    """`torch.nn.init.kaiming_uniform_`: uniform, Var W = gain²/fan."""

    name: Literal["kaiming_uniform"] = "kaiming_uniform"


class KaimingNormal(KaimingOptions):
    """`torch.nn.init.kaiming_normal_`: normal, not truncated, Var W = gain²/fan."""

    name: Literal["kaiming_normal"] = "kaiming_normal"


class PytorchDefault(Initializer):
    """Uniform on ±1/√fan_in, what `torch.nn.Linear` does: Var W = 1/(3 fan_in), the "old standard"."""

    name: Literal["pytorch_default"] = "pytorch_default"


class LSUV(Initializer):
    """Orthogonal, then each layer scaled until its output has unit variance on a batch (Mishkin & Matas 2016)."""

    name: Literal["lsuv"] = "lsuv"
    tolerance: Positive = 0.01
    """How close to 1 the variance has to come."""
    max_iterations: Size = 10
    """Rescalings a layer at most."""


class PythonInitializer(Initializer):
    """Your own: a Python function that fills a weight; its variance is measured for the theory."""

    name: Literal["python"] = "python"
    code: ClassVar[str] = "function"
    function: Code
    """`inits.py:mine` for the function mine of the file inits.py, or `package.module:mine`. It fills the tensor
    (fan_out, fan_in) that it gets, or returns another one of this shape."""

    @property
    def label(self) -> str:
        """The name of the function."""
        return function_name(self.function)


INITIALIZERS: Mapping[str, type[Initializer]] = by_name(
    GlorotUniform,
    GlorotNormal,
    HeUniform,
    HeNormal,
    LecunUniform,
    LecunNormal,
    Orthogonal,
    TruncatedNormal,
    Normal,
    Uniform,
    Zeros,
    Constant,
    VarianceScaling,
    XavierUniform,
    XavierNormal,
    KaimingUniform,
    KaimingNormal,
    PytorchDefault,
    LSUV,
    PythonInitializer,
)
