from gradlab.statistics import LAYER_STATISTICS
from gradlab.views.pictures.labels import (
    COLUMN_LABELS,
    LOGARITHMIC,
    SHARES,
    column_label,
    is_logarithmic,
    is_share,
    setting_label,
)


def test_every_column_with_a_label_or_a_scale_is_a_column():
    assert set(COLUMN_LABELS) | set(LOGARITHMIC) | set(SHARES) <= {*LAYER_STATISTICS, "accuracy"}


def test_columns_in_words():
    assert column_label("delta_rms") == "RMS δ"
    assert column_label("activation_min") == "activation min"
    assert [is_logarithmic(column) for column in ("delta_rms", "dead_fraction")] == [True, False]
    assert [is_share(column) for column in ("delta_rms", "dead_fraction")] == [False, True]


def test_a_setting_has_its_name_beside_it_unless_its_value_says_enough():
    assert setting_label("model.depth", 20) == "depth 20"
    assert setting_label("train.learning_rate", 0.05) == "learning rate 0.05"
    assert setting_label("model.activation", "relu") == "relu"
