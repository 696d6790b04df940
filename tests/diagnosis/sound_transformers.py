"""Sound trainings of small models of the transformers library, each until it has learned a toy task."""

from collections.abc import Callable

import torch
from torch import Tensor

from tests.diagnosis.sound import Training, Trainings, Watch, digits, minimized

VOCABULARY = 12
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def counting(samples: int = 32, length: int = 10) -> Tensor:
    """Sequences that count up by a step of their own: from the third token on, the next one is known."""
    first, step = torch.randint(0, VOCABULARY, (2, samples, 1))
    return (first + step * torch.arange(length)) % VOCABULARY


def _trained(model, loss_of: Callable[[], Tensor], watch: Watch, steps: int, rate: float = 3e-3) -> float:
    model.train()
    return minimized(watch, model, torch.optim.AdamW(model.parameters(), lr=rate), loss_of, steps)


def _language_model(config_name: str, model_name: str, steps: int = 150, rate: float = 3e-3, **options) -> Training:
    """Trains a model to count up."""

    def train(watch: Watch) -> float:
        import transformers

        config = getattr(transformers, config_name)(vocab_size=VOCABULARY, **{**SMALL, **options})
        model = getattr(transformers, model_name)(config)

        def loss_of() -> Tensor:
            tokens = counting()
            return model(input_ids=tokens, labels=tokens).loss

        return _trained(model, loss_of, watch, steps, rate)

    return train


def _masked_language_model(config_name: str, model_name: str, **options) -> Training:
    """Trains a model to fill in a token that is hidden, the one beside it and a half."""

    def train(watch: Watch) -> float:
        import transformers

        config = getattr(transformers, config_name)(
            vocab_size=VOCABULARY + 2,
            **{**SMALL, "hidden_dropout_prob": 0.0, "pad_token_id": VOCABULARY + 1, **options},
        )
        model = getattr(transformers, model_name)(config)

        def loss_of() -> Tensor:
            tokens = (torch.randint(0, VOCABULARY, (64, 1)) + torch.arange(6)) % VOCABULARY
            hidden = torch.zeros(tokens.shape, dtype=torch.bool)
            hidden[torch.arange(64), torch.randint(0, 6, (64,))] = True
            return model(
                input_ids=torch.where(hidden, VOCABULARY, tokens), labels=torch.where(hidden, tokens, -100)
            ).loss

        return _trained(model, loss_of, watch, steps=300, rate=5e-3)

    return train


def bert_classifier(watch: Watch) -> float:
    """Whether a sequence begins and ends with the same token."""
    import transformers

    config = transformers.BertConfig(vocab_size=VOCABULARY, num_labels=2, **SMALL)
    model = transformers.BertForSequenceClassification(config)

    def loss_of() -> Tensor:
        tokens = torch.randint(0, 4, (64, 6))
        same = torch.rand(64) < 0.5
        tokens[:, -1] = torch.where(same, tokens[:, 0], (tokens[:, 0] + 1) % 4)
        return model(input_ids=tokens, labels=same.long()).loss

    return _trained(model, loss_of, watch, steps=400, rate=1e-3)


def vit(watch: Watch) -> float:
    """Handwritten digits."""
    import transformers

    config = transformers.ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, **SMALL)
    model = transformers.ViTForImageClassification(config)

    def loss_of() -> Tensor:
        x, y = digits()
        return model(pixel_values=x, labels=y).loss

    return _trained(model, loss_of, watch, steps=250)


def t5(watch: Watch) -> float:
    """An encoder and a decoder: the sequence backwards."""
    import transformers

    config = transformers.T5Config(
        vocab_size=VOCABULARY, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    model = transformers.T5ForConditionalGeneration(config)

    def loss_of() -> Tensor:
        tokens = counting(length=6)
        return model(input_ids=tokens, labels=tokens.flip(1)).loss

    return _trained(model, loss_of, watch, steps=300, rate=5e-3)


TRANSFORMERS: Trainings = {
    "gpt2": (
        _language_model(
            "GPT2Config",
            "GPT2LMHeadModel",
            steps=250,
            rate=5e-3,
            n_embd=32,
            n_layer=2,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            embd_pdrop=0.0,
            resid_pdrop=0.0,
        ),
        1.2,
    ),
    "llama": (_language_model("LlamaConfig", "LlamaForCausalLM"), 1.2),
    "mistral": (_language_model("MistralConfig", "MistralForCausalLM", num_key_value_heads=1), 1.2),
    "gpt_neox": (_language_model("GPTNeoXConfig", "GPTNeoXForCausalLM"), 1.2),
    "qwen2": (_language_model("Qwen2Config", "Qwen2ForCausalLM", num_key_value_heads=1), 1.2),
    "mamba": (_language_model("MambaConfig", "MambaForCausalLM", state_size=8), 1.2),
    "bert": (_masked_language_model("BertConfig", "BertForMaskedLM"), 1.2),
    "roberta": (_masked_language_model("RobertaConfig", "RobertaForMaskedLM"), 1.2),
    "electra": (_masked_language_model("ElectraConfig", "ElectraForMaskedLM", embedding_size=32), 1.2),
    "bert_classifier": (bert_classifier, 0.5),
    "vit": (vit, 1.0),
    "t5": (t5, 1.2),
}
