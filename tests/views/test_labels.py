from gradlab.statistics import STATISTICS
from gradlab.views.pictures.labels import column_label, is_logarithmic, is_share, setting_label


def test_every_statistic_has_a_label_and_one_line_of_documentation():
    for name, statistic in STATISTICS.items():
        assert column_label(name) == statistic.label != ""
        assert statistic.doc.endswith(".")
        assert not (statistic.log and statistic.share)


def test_columns_in_words():
    assert column_label("delta_rms") == "RMS δ"
    assert column_label("gradient_norm") == "gradient norm"
    assert [is_logarithmic(column) for column in ("delta_rms", "dead_fraction")] == [True, False]
    assert [is_share(column) for column in ("delta_rms", "dead_fraction")] == [False, True]


def test_a_setting_has_its_name_beside_it_unless_its_value_says_enough():
    assert setting_label("model.depth", 20) == "depth 20"
    assert setting_label("train.learning_rate", 0.05) == "learning rate 0.05"
    assert setting_label("model.activation", "relu") == "relu"
