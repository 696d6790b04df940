"""Against the real packages: the same rows as a plain loop has."""

import importlib
import warnings
from types import SimpleNamespace

import polars as pl
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab.tables import Finding

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # what other people's packages warn of

X = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True).sign()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))


def plain(steps=6, batch=4):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer) as recorder:
        for start in range(0, steps * batch, batch):
            optimizer.zero_grad()
            functional.mse_loss(model(X[start : start + batch]), Y[start : start + batch]).backward()
            optimizer.step()
    return recorder


def test_lightning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning = pytest.importorskip("lightning.pytorch")
    from gradlab.integrations.lightning import Watch

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def training_step(self, batch, index):
            x, y = batch
            return functional.mse_loss(self.net(x), y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=4)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    callback, streaming = Watch(), Watch(into=tmp_path / "run", every=2)
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", callbacks=[callback, streaming], **quiet)
    module = Module()
    trainer.fit(module, data)
    expected, rows = plain().rows(), callback.recorder.rows()
    assert rows["module"].str.strip_prefix("net.").to_list() == expected["module"].to_list()
    for column in ("calls", "activation_rms", "delta_rms", "weight_gradient_norm", "update_ratio"):
        assert rows[column].is_null().to_list() == expected[column].is_null().to_list()
        assert rows[column].drop_nulls().to_list() == pytest.approx(expected[column].drop_nulls().to_list(), rel=1e-5)
    assert callback.recorder.steps["loss"].to_list() == pytest.approx(plain().steps["loss"].to_list(), rel=1e-6)
    run = gradlab.load_run(tmp_path / "run")
    assert (run.status, run.layers["step"].unique().to_list()) == ("completed", [0, 2, 4])
    assert not any(part._forward_hooks for part in module.modules())

    class Failing(Module):
        def training_step(self, batch, index):
            if index == 2:
                raise RuntimeError("stop")
            return super().training_step(batch, index)

    failing, callback = Failing(), Watch()
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", callbacks=[callback], **quiet)
    with pytest.raises(RuntimeError, match="stop"):
        trainer.fit(failing, data)
    assert (callback.recorder.status, callback.recorder.rows()["step"].max()) == ("failed", 1)
    assert not any(part._forward_hooks for part in failing.modules())


def test_hugging_face_trainer(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
        pytest.importorskip("accelerate")
    from gradlab.integrations.transformers import Watch

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x, labels):
            out = self.net(x)
            return {"loss": functional.mse_loss(out, labels), "logits": out}

    data = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    callback = Watch(into=tmp_path / "run")
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=4,
        per_device_train_batch_size=3,
        gradient_accumulation_steps=2,
        learning_rate=0.1,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
    )
    model = Model()
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback])
    trainer.train()
    run = gradlab.load_run(tmp_path / "run")
    assert run.status == "completed"
    assert run.layers["module"].unique(maintain_order=True).to_list() == ["net.0", "net.1", "net.2"]
    assert run.layers["step"].unique().to_list() == [0, 1, 2, 3]
    assert run.layers["calls"].unique().to_list() == [2]
    assert run.layers["delta_rms"].null_count() == 0
    assert run.steps["loss"].is_finite().all()
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize("framework", ["lightning", "transformers"])
def test_an_option_that_there_is_not_is_an_error_before_training(framework):
    pytest.importorskip(framework)
    adapters = importlib.import_module(f"gradlab.integrations.{framework}")
    with pytest.raises(TypeError, match="evry"):
        adapters.Watch(evry=2)


FINDING = Finding("diverged", "error", "the loss is nan")


class Nothing(nn.Module):
    """The gradient of a part is always 0: there is something to find after a few steps."""

    def __init__(self):
        super().__init__()
        self.net, self.cut = network(), nn.Linear(6, 1)

    def forward(self, x, labels):
        loss = functional.mse_loss(self.net(x) + self.cut(x).detach(), labels)
        return {"loss": loss}


def events(folder, tag):
    """What TensorBoard's own reader finds in a folder: the scalars and the texts of a tag, step by step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    scalars, texts = {}, {}
    for file in folder.rglob("*tfevents*"):
        read = EventAccumulator(str(file)).Reload()
        for name in read.Tags()["scalars"]:
            scalars.setdefault(name, []).extend((event.step, event.value) for event in read.Scalars(name))
        for name in read.Tags()["tensors"]:
            texts[name] = read.Tensors(name)[-1].tensor_proto.string_val[0].decode()
    found = [values for name, values in scalars.items() if name.endswith(tag)]
    said = [text for name, text in texts.items() if tag in name]
    return found, said


def stop(finding):
    raise gradlab.StopTraining


def test_lightning_passes_findings_to_its_loggers(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning = pytest.importorskip("lightning.pytorch")
        from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
    from gradlab.integrations.lightning import Watch

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = Nothing()

        def training_step(self, batch, index):
            return self.model(*batch)["loss"]

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=4)
    loggers = [CSVLogger(tmp_path / "csv"), TensorBoardLogger(tmp_path / "board")]
    heard = []
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=loggers,
        callbacks=[Watch(on_finding=heard.append)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), data)
    (finding,) = [finding for finding in heard if finding.rule == "no-gradient"]
    (table,) = (tmp_path / "csv").rglob("metrics.csv")
    column = pl.read_csv(table)["gradlab/no-gradient"].drop_nulls()
    assert set(column) == {2.0}
    (scalars,), texts = events(tmp_path / "board", "gradlab/no-gradient")
    assert {value for _, value in scalars} == {2.0}
    assert finding.message in texts


def test_transformers_passes_findings_to_what_it_reports_to(tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
        pytest.importorskip("accelerate")
    from gradlab.integrations.transformers import Watch

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=5,
        per_device_train_batch_size=4,
        learning_rate=0.1,
        report_to=["tensorboard"],
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
    )
    data = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    heard = []
    trainer = transformers.Trainer(
        model=Nothing(), args=arguments, train_dataset=data, callbacks=[Watch(on_finding=heard.append)]
    )
    trainer.train()
    (finding,) = [finding for finding in heard if finding.rule == "no-gradient"]
    logged = [entry for entry in trainer.state.log_history if "gradlab/no-gradient" in entry]
    assert [(entry["gradlab/no-gradient"], entry["gradlab/no-gradient/message"]) for entry in logged] == [
        (2, finding.message)
    ]
    (scalars,), texts = events(tmp_path / "board", "gradlab/no-gradient")
    assert [value for _, value in scalars] == [2.0]
    assert finding.message in texts


def test_stop_training_stops_lightning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("lightning.pytorch")
    from gradlab.integrations.lightning import Watch

    trainer = SimpleNamespace(loggers=[], global_step=7, should_stop=False)
    Watch()._hear(trainer, FINDING)
    assert not trainer.should_stop
    Watch(on_finding=stop)._hear(trainer, FINDING)
    assert trainer.should_stop


def test_stop_training_stops_transformers():
    pytest.importorskip("transformers")
    from gradlab.integrations.transformers import Watch

    state, control = SimpleNamespace(log_history=[], global_step=7), SimpleNamespace(should_training_stop=False)
    callback = Watch(on_finding=stop)
    callback._hear(None, None, state, control, FINDING)
    assert state.log_history[0]["gradlab/diverged"] == 3
    control.should_training_stop = False  # as the trainer does when the step has ended
    callback.on_step_end(None, state, control)
    assert control.should_training_stop
