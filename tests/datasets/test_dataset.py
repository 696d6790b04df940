"""The split into training and test samples, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from gradlab.datasets.dataset import Samples, split
from gradlab.errors import DatasetError


@pytest.mark.parametrize("seed", range(60))
def test_a_split_is_that_of_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    classes = int(generator.integers(2, 12))
    y = np.concatenate([np.arange(classes).repeat(10), generator.integers(0, classes, generator.integers(4, 300))])
    generator.shuffle(y)
    fraction = float(generator.choice([0.1, 0.2, 0.25, 0.5, generator.uniform(0.1, 0.9)]))
    random_state = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    train, test = split(Samples(y[:, None].astype(float), y), fraction, seed)
    expected = train_test_split(np.arange(len(y)), test_size=fraction, stratify=y, random_state=random_state)
    np.testing.assert_array_equal(train, expected[0])
    np.testing.assert_array_equal(test, expected[1])


def test_a_class_of_one_sample_cannot_be_split():
    with pytest.raises(DatasetError, match="class 1 has 1"):
        split(Samples(np.zeros((3, 1)), np.array([0, 0, 1])), 0.5, seed=0)
