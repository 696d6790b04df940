"""Sound trainings of families that no rule was tuned on: nothing is wrong with them, and nothing may be said to be."""

import os
import warnings

import pytest
import torch

import gradlab
from gradlab.tables import Finding
from tests.diagnosis.sound_generative import GENERATIVE
from tests.diagnosis.sound_trainings import NETWORKS

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def said_of(training, limit) -> list[Finding]:
    """Warnings and errors about a training, which must have learned."""
    torch.manual_seed(0)
    watches = []

    def watch(model, optimizers):
        watches.append(gradlab.watch(model, optimizers, strict=True))
        return watches[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers and PyTorch warn of their own
        reached = training(watch)
    assert reached <= limit, f"reached {reached:.3g} and not {limit}"
    return [finding for each in watches for finding in each.diagnose() if finding.severity != "info"]


@pytest.mark.parametrize("name", [*NETWORKS, *GENERATIVE])
def test_plain_networks(name):
    assert said_of(*{**NETWORKS, **GENERATIVE}[name]) == []


def _transformers():
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    pytest.importorskip("transformers")
    from tests.diagnosis.sound_transformers import TRANSFORMERS

    return TRANSFORMERS


TRANSFORMERS = (
    "gpt2", "llama", "mistral", "gpt_neox", "qwen2", "mamba", "bert", "roberta", "electra", "bert_classifier", "vit",
    "t5",
)  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_models_of_the_transformers_library(name):
    assert said_of(*_transformers()[name]) == []


def test_none_is_left_out():
    assert set(TRANSFORMERS) == set(_transformers())
