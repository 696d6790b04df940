"""Made-up runs for the search: what a config comes to is computed, not trained."""

from gradlab.repair.trial import Outcome
from gradlab.tables import Finding

VANISHING = Finding(
    "vanishing-gradient",
    "error",
    "δ shrinks",
    remedies=("model.batch_norm=before", "model.activation=relu model.initializer=he_normal"),
)
SMALL = Finding("updates-too-small", "warning", "updates are small", remedies=("train.learning_rate=0.5",))
STALLED = Finding("stalled-loss", "error", "nothing was learned", remedies=("train.learning_rate=0.5",))


class Laboratory:
    """Runs configs by a function of them, and remembers what it was asked for.

    Args:
        result: a config ─► its findings and its test accuracy.
    """

    def __init__(self, result):
        self.result = result
        self.asked = []

    def __call__(self, todo):
        outcomes = []
        for _, config in todo:
            self.asked.append(config)
            findings, accuracy = self.result(config)
            outcomes.append(Outcome("completed", tuple(findings), {"test_accuracy": accuracy}))
        return outcomes


def normalized(config):
    return config.model.normalization.where != "none"
