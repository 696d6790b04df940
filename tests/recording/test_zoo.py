"""Models as they are in use, tiny and randomly initialized, built from their configuration classes alone.

Each one trains two steps with and without the recorder: the results are the same to the last bit, every module that
computed has a row, and gradients are autograd's own.
"""

import functools
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # what other people's packages warn of
TOKENS = torch.arange(24).reshape(2, 12) % 50
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}


def bert():
    return transformers.BertForMaskedLM(transformers.BertConfig(**SIZES)), {"input_ids": TOKENS, "labels": TOKENS}


def gpt2():
    config = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=50, n_positions=32)
    return transformers.GPT2LMHeadModel(config), {"input_ids": TOKENS, "labels": TOKENS}


def llama():
    config = transformers.LlamaConfig(**SIZES, num_key_value_heads=1)
    return transformers.LlamaForCausalLM(config), {"input_ids": TOKENS, "labels": TOKENS}


def t5():
    config = transformers.T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=50, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config), {"input_ids": TOKENS, "labels": TOKENS}


def vit():
    sizes = {name: value for name, value in SIZES.items() if name != "vocab_size"}
    config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8)
    return transformers.ViTForImageClassification(config), {"pixel_values": IMAGES, "labels": torch.tensor([0, 1])}


def resnet():
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return transformers.ResNetForImageClassification(config), {"pixel_values": IMAGES, "labels": torch.tensor([0, 1])}


def convnext():
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)
    model = transformers.ConvNextForImageClassification(config)
    return model, {"pixel_values": IMAGES, "labels": torch.tensor([0, 1])}


def swin():
    config = transformers.SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
    )
    return transformers.SwinForImageClassification(config), {"pixel_values": IMAGES, "labels": torch.tensor([0, 1])}


def segformer():
    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        hidden_sizes=[8, 16],
        num_attention_heads=[1, 2],
        sr_ratios=[2, 1],
        patch_sizes=[7, 3],
        strides=[4, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=8,
        num_labels=3,
    )
    labels = torch.zeros(2, 32, 32, dtype=torch.long)
    return transformers.SegformerForSemanticSegmentation(config), {"pixel_values": IMAGES, "labels": labels}


def mobilenet():
    config = transformers.MobileNetV2Config(image_size=32, depth_multiplier=0.25, finegrained_output=False)
    model = transformers.MobileNetV2ForImageClassification(config)
    return model, {"pixel_values": IMAGES, "labels": torch.tensor([0, 1])}


def albert():
    return transformers.AlbertForMaskedLM(transformers.AlbertConfig(**SIZES, embedding_size=8)), {
        "input_ids": TOKENS,
        "labels": TOKENS,
    }


def deberta():
    config = transformers.DebertaV2Config(**SIZES, relative_attention=True, pos_att_type=["p2c", "c2p"])
    return transformers.DebertaV2ForMaskedLM(config), {"input_ids": TOKENS, "labels": TOKENS}


def clip():
    text = {**SIZES, "bos_token_id": 0, "eos_token_id": 49}
    vision = {name: value for name, value in SIZES.items() if name != "vocab_size"}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**vision, "image_size": 32, "patch_size": 8}, projection_dim=8
    )
    return transformers.CLIPModel(config), {"input_ids": TOKENS, "pixel_values": IMAGES, "return_loss": True}


def wav2vec2():
    sizes = {name: value for name, value in SIZES.items() if name != "vocab_size"}
    config = transformers.Wav2Vec2Config(
        **sizes,
        vocab_size=20,
        conv_dim=[8, 8],
        conv_stride=[5, 4],
        conv_kernel=[10, 8],
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        mask_time_prob=0.0,
        layerdrop=0.0,
    )
    labels = torch.arange(8).reshape(2, 4) + 1
    return transformers.Wav2Vec2ForCTC(config), {"input_values": torch.randn(2, 800), "labels": labels}


def gemma():
    config = transformers.GemmaConfig(**SIZES, num_key_value_heads=1, head_dim=8)
    return transformers.GemmaForCausalLM(config), {"input_ids": TOKENS, "labels": TOKENS}


def patchtst():
    config = transformers.PatchTSTConfig(
        num_input_channels=2, context_length=16, patch_length=4, patch_stride=4, d_model=8, ffn_dim=16,
        num_hidden_layers=1, num_attention_heads=2, prediction_length=4,
    )  # fmt: skip
    past, future = torch.randn(2, 16, 2), torch.randn(2, 4, 2)
    return transformers.PatchTSTForPrediction(config), {"past_values": past, "future_values": future}


def mamba():
    config = transformers.MambaConfig(hidden_size=16, state_size=4, num_hidden_layers=2, vocab_size=50)
    return transformers.MambaForCausalLM(config), {"input_ids": TOKENS, "labels": TOKENS}


def whisper():
    config = transformers.WhisperConfig(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        vocab_size=60,
        num_mel_bins=8,
        max_source_positions=10,
        max_target_positions=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    return model, {"input_features": torch.randn(2, 8, 20), "labels": TOKENS}


def mixtral():
    config = transformers.MixtralConfig(**SIZES, num_key_value_heads=1, num_local_experts=4, num_experts_per_tok=2)
    return transformers.MixtralForCausalLM(config), {"input_ids": TOKENS, "labels": TOKENS}


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.inner = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.up, self.out = nn.GroupNorm(2, 8), nn.ConvTranspose2d(8, 8, 2, 2), nn.Conv2d(11, 3, 1)

    def forward(self, x):
        deep = functional.silu(self.norm(self.inner(functional.relu(self.down(x)))))
        return {"loss": self.out(torch.cat([self.up(deep), x], 1)).square().mean()}


class Wrapped(nn.Module):
    """A layer of torch.nn in a model with a loss."""

    def __init__(self, layer, *inputs):
        super().__init__()
        self.layer, self.head, self.inputs = layer, nn.Linear(8, 3), inputs

    def forward(self):
        out = self.layer(*self.inputs)
        return {"loss": self.head(out[0] if isinstance(out, tuple) else out).square().mean()}


SEQUENCE = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
MODELS = {
    "BERT": bert,
    "GPT-2": gpt2,
    "Llama": llama,
    "T5": t5,
    "ViT": vit,
    "ResNet": resnet,
    "ConvNeXt": convnext,
    "Swin": swin,
    "SegFormer": segformer,
    "MobileNet": mobilenet,
    "ALBERT": albert,
    "DeBERTa": deberta,
    "CLIP": clip,
    "wav2vec 2.0": wav2vec2,
    "Gemma": gemma,
    "PatchTST": patchtst,
    "Mamba": mamba,
    "Whisper": whisper,
    "Mixtral": mixtral,
    "U-Net": lambda: (UNet(), {"x": IMAGES}),
    "Transformer": lambda: (
        Wrapped(nn.Transformer(8, 2, 1, 1, 16, batch_first=True, activation="gelu"), SEQUENCE, SEQUENCE),
        {},
    ),
    "LSTM": lambda: (Wrapped(nn.LSTM(8, 8, 2, bidirectional=False, batch_first=True), SEQUENCE), {}),
    "GRU": lambda: (Wrapped(nn.GRU(8, 8, batch_first=True), SEQUENCE), {}),
}


def torchvision_model(name):
    try:
        from torchvision import models
    except Exception as error:  # a build for CUDA beside a PyTorch without it fails in ways of its own
        pytest.skip(f"torchvision cannot be imported: {error}")
    model = models.get_model(name, num_classes=5)
    return Classifier(model), {"x": torch.randn(2, 3, 64, 64)}


class Classifier(nn.Module):
    """A model with a loss."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        out = self.model(x)
        logits = out if isinstance(out, torch.Tensor) else out.logits
        return {"loss": functional.cross_entropy(logits, torch.tensor([0, 1]))}


VISION = (
    "resnet18",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "densenet121",
    "efficientnet_b0",
    "mnasnet0_5",
    "regnet_y_400mf",
    "convnext_tiny",
    "swin_t",
)
MODELS |= {f"torchvision {name}": functools.partial(torchvision_model, name) for name in VISION}


def train(build, watching, spy=None):
    torch.manual_seed(0)
    model, inputs = build()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    recorder = gradlab.watch(model, optimizer) if watching else None
    handles = [] if spy is None else spy(model)
    if recorder is not None:
        recorder.__enter__()
    for _ in range(2):
        torch.manual_seed(1)
        model(**inputs)["loss"].backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        optimizer.step()
        optimizer.zero_grad()
    if recorder is not None:
        recorder.__exit__(None, None, None)
    for handle in handles:
        handle.remove()
    return model, recorder, gradients


def computing(model):
    """The modules without parts, or with parameters of their own, that return floating-point tensors when called."""
    called = set()

    def spy(model):
        return [
            module.register_forward_hook(lambda m, i, o, name=name: called.add(name) if _floats(o) else None)
            for name, module in model.named_modules()
            if name
            and (next(module.children(), None) is None or next(module.parameters(recurse=False), None) is not None)
        ]

    return called, spy


def _floats(output):
    output = output[0] if isinstance(output, tuple) else output
    return isinstance(output, torch.Tensor) and output.is_floating_point()


@pytest.mark.parametrize("name", MODELS)
def test_models_in_use(name):
    bare, _, expected = train(MODELS[name], watching=False)
    called, spy = computing(bare)
    watched, recorder, gradients = train(MODELS[name], watching=True, spy=spy)
    for (key, one), other in zip(watched.state_dict().items(), bare.state_dict().values(), strict=True):
        assert torch.equal(one, other), key
    assert all(torch.equal(gradients[key], expected[key]) for key in expected)

    rows = recorder.rows().filter(step=1)
    recorded = set(rows["module"])
    for part in called - recorded:  # what hands on a tensor of another module has computed nothing
        kind = type(watched.get_submodule(part)).__name__
        assert any(
            name in kind for name in ("Dropout", "Identity", "RotaryEmbedding", "PredictionHead", "StochasticDepth")
        ), (part, kind)
    assert rows["activation_rms"].is_finite().all()

    total = np.sqrt(sum(float(g.double().square().sum()) for g in expected.values()))
    assert recorder.steps["gradient_norm"][1] == pytest.approx(total, rel=1e-9)
    checked = 0
    for module, norm in (
        rows.filter(rows["kind"].is_in(["weight", "output", "norm"]))
        .select("module", "weight_gradient_norm")
        .iter_rows()
    ):
        weight = f"{module}.weight"
        if weight in expected:
            assert norm == pytest.approx(float(expected[weight].double().norm()), rel=1e-9), module
            checked += 1
    assert checked >= 1
    assert rows["delta_rms"].drop_nulls().len() > 0.5 * rows.height
    assert (rows["kind"] == "activation").any() or name in ("LSTM", "GRU")
    recorder.diagnose()
