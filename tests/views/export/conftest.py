"""The programs that exports are for."""

import pytest


@pytest.fixture
def accumulate():
    """Reads event files the way TensorBoard does: scalars, histograms and texts by name and step; and all times."""
    reason = "TensorBoard has no wheel for this Python or system; pip install 'gradlab[tensorboard]'"
    pytest.importorskip("tensorboard", reason=reason)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    def read(folder):
        events = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0}).Reload()
        scalars, values, times = {}, {"histograms": {}, "text": {}}, {}
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                assert (tag, event.step) not in scalars
                scalars[tag, event.step] = event.value
                times[tag, event.step] = event.wall_time
        for tag in events.Tags()["tensors"]:
            plugin = events.SummaryMetadata(tag).plugin_data.plugin_name
            for event in events.Tensors(tag):
                assert (tag, event.step) not in values[plugin]
                values[plugin][tag, event.step] = make_ndarray(event.tensor_proto)
        histograms = {key: ([*v[:, 0], v[-1, 1]], v[:, 2]) for key, v in values["histograms"].items()}
        texts = {tag: value.item().decode() for (tag, _), value in values["text"].items()}
        return scalars, histograms, texts, times

    return read


@pytest.fixture
def wandb(monkeypatch, tmp_path):
    """Weights & Biases without a network and without the settings of whoever runs this."""
    reason = "wandb has no wheel for this Python or system; pip install 'gradlab[wandb]'"
    wandb = pytest.importorskip("wandb", reason=reason)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    if wandb.setup().settings.mode != "offline":
        wandb.teardown()  # it reads the environment once
    return wandb
