"""All rules; the rules about causes come before the rules about their symptoms."""

from collections.abc import Mapping
from types import MappingProxyType

from gradlab.diagnosis.divergence import diverged
from gradlab.diagnosis.gradients import exploding_gradient, gradient_underflow, vanishing_gradient
from gradlab.diagnosis.graph import no_gradient, not_optimized, unregistered_parameters
from gradlab.diagnosis.loop import eval_mode, gradients_not_cleared, no_steps, skipped_steps
from gradlab.diagnosis.losses import rising_loss, stalled_loss
from gradlab.diagnosis.outcome import batch_norm_drift, off_theory
from gradlab.diagnosis.outputs import output_mismatch
from gradlab.diagnosis.rule import Rule
from gradlab.diagnosis.scales import learning_rate_too_high, unscaled_inputs, vanishing_weights
from gradlab.diagnosis.signal import signal_collapse, signal_explosion
from gradlab.diagnosis.units import dead_units, saturated_activations, symmetric_units
from gradlab.diagnosis.updates import updates_too_large, updates_too_small

_GLOROT = "Glorot & Bengio 2010"
_HE = "He et al. 2015"

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.id: rule
        for rule in (
            Rule(
                "no-steps",
                "error",
                "the optimizer did no step of the watched model",
                ("Wardat et al. 2021 (DeepLocalize)",),
                no_steps,
            ),
            Rule(
                "skipped-steps",
                "error",
                "many steps are skipped because the gradient is NaN or infinite",
                ("Micikevicius et al. 2018",),
                skipped_steps,
            ),
            Rule(
                "unregistered-parameters",
                "error",
                "the loss depends on layers that the model does not know",
                ("Humbatova et al. 2020",),
                unregistered_parameters,
            ),
            Rule(
                "not-optimized",
                "error",
                "no optimizer holds parameters that are to be trained",
                ("Schoop et al. 2021 (UMLAUT)",),
                not_optimized,
            ),
            Rule(
                "output-mismatch",
                "error",
                "what the network returns is not what its loss expects",
                ("Humbatova et al. 2020", "Schoop et al. 2021 (UMLAUT)"),
                output_mismatch,
            ),
            Rule(
                "no-gradient",
                "error",
                "parameters never get a gradient, or only 0",
                ("Ben Braiek & Khomh 2023 (TheDeepChecker)",),
                no_gradient,
            ),
            Rule(
                "gradients-not-cleared",
                "error",
                "backward passes add to gradients that were used already",
                ("Schoop et al. 2021 (UMLAUT)",),
                gradients_not_cleared,
            ),
            Rule(
                "unscaled-inputs",
                "warning",
                "what enters the network is far larger or smaller than initializers expect",
                ("LeCun et al. 1998 (Efficient BackProp)", "Ben Braiek & Khomh 2023 (TheDeepChecker)"),
                unscaled_inputs,
            ),
            Rule(
                "symmetric-units",
                "error",
                "all units of a layer are copies of one another",
                ("Goodfellow et al. 2016, §8.4", "Rumelhart et al. 1986"),
                symmetric_units,
            ),
            Rule(
                "vanishing-gradient",
                "error",
                "δ shrinks a hundredfold or more on its way to the input",
                ("Hochreiter 1991", "Bengio et al. 1994", _GLOROT),
                vanishing_gradient,
            ),
            Rule(
                "exploding-gradient",
                "error",
                "δ grows a hundredfold or more on its way to the input",
                ("Bengio et al. 1994", "Pascanu et al. 2013", _HE),
                exploding_gradient,
            ),
            Rule(
                "gradient-underflow",
                "error",
                "gradients are exactly 0 because the number format ran out",
                ("Micikevicius et al. 2018",),
                gradient_underflow,
            ),
            Rule(
                "dead-units",
                "error",
                "most of a layer's units, or many that were alive, output 0 on every training sample",
                ("Maas et al. 2013", "Lu et al. 2020"),
                dead_units,
            ),
            Rule(
                "diverged",
                "error",
                "the loss, a gradient or a weight became NaN or infinite",
                ("Goodfellow et al. 2016, §8.2.4", "Pascanu et al. 2013"),
                diverged,
            ),
            Rule(
                "stalled-loss",
                "error",
                "the network has learned nothing",
                (_GLOROT, _HE),
                stalled_loss,
            ),
            Rule(
                "rising-loss",
                "warning",
                "the loss is higher at the end than at the start",
                ("Zhang et al. 2021 (AutoTrainer)", "Cao et al. 2022 (DeepFD)"),
                rising_loss,
            ),
            Rule(
                "signal-collapse",
                "warning",
                "different inputs give the same activations, or activations fade over the depth",
                ("Schoenholz et al. 2017", _HE),
                signal_collapse,
            ),
            Rule(
                "signal-explosion",
                "warning",
                "activations grow a hundredfold or more over the depth",
                (_HE, "Hanin & Rolnick 2018"),
                signal_explosion,
            ),
            Rule(
                "saturated-activations",
                "warning",
                "half or more of a layer's outputs lie where the activation is flat",
                (_GLOROT, "Rakitianskaia & Engelbrecht 2015"),
                saturated_activations,
            ),
            Rule(
                "updates-too-large",
                "warning",
                "a step moves a layer's weights by a tenth of their size or more",
                ("Zhang et al. 2021 (AutoTrainer)", "Ben Braiek & Khomh 2023 (TheDeepChecker)"),
                updates_too_large,
            ),
            Rule(
                "updates-too-small",
                "warning",
                "a step hardly moves the weights",
                ("Wardat et al. 2022 (DeepDiagnosis)", "Ben Braiek & Khomh 2023 (TheDeepChecker)"),
                updates_too_small,
            ),
            Rule(
                "learning-rate-too-high",
                "warning",
                "steps are large, and the loss rises, does not fall or is NaN",
                ("Goodfellow et al. 2016, §11.4.1",),
                learning_rate_too_high,
            ),
            Rule(
                "vanishing-weights",
                "warning",
                "the weights of a layer decay to nothing",
                ("Zhang et al. 2021 (AutoTrainer)", "Ben Braiek & Khomh 2023 (TheDeepChecker)"),
                vanishing_weights,
            ),
            Rule(
                "eval-mode",
                "warning",
                "dropout and batch normalization compute as in evaluation while the model trains",
                ("Humbatova et al. 2020",),
                eval_mode,
            ),
            Rule(
                "batch-norm-drift",
                "warning",
                "evaluation with running statistics is worse than with those of the batch",
                ("Ioffe & Szegedy 2015", "Wu & Johnson 2021"),
                batch_norm_drift,
            ),
            Rule(
                "off-theory",
                "warning",
                "the untrained network is not what mean-field theory predicts",
                ("Schoenholz et al. 2017", "Yang et al. 2019"),
                off_theory,
            ),
        )
    }
)
"""The rules by id. A new rule is a function and an entry."""
