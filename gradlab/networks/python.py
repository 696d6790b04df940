"""The kind `python`: any module that a function or class of the user makes."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gradlab import user_code
from gradlab.choices import PythonModel
from gradlab.errors import UserError
from gradlab.networks.evaluation import batch_statistics
from gradlab.networks.random_state import own_random_state
from gradlab.seeding import stream


def build_python(
    model: PythonModel,
    *,
    features: int | tuple[int, ...],
    classes: int,
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
    batch: Tensor | None = None,
) -> nn.Module:
    """Call the user's factory, with global random states from the seed, which it may move.

    Args:
        model: the factory and its options.
        features: of the input, or the shape of a sample; passed on where the factory takes it.
        classes: of the data, or numbers to predict; passed on where the factory takes it.
        seed: the config's.
        dtype: of parameters and buffers.
        device: where they go.
        batch: what lazy layers see first, in evaluation mode.

    Raises:
        UserError: the factory cannot be loaded, raises, or makes no module that can be trained.
    """
    with own_random_state(stream(seed, "weights")):
        made = user_code.called(model.factory, model.options, features=features, classes=classes)
        if not isinstance(made, nn.Module):
            raise UserError(
                f"{user_code.place(model.factory)}: {user_code.function_name(model.factory)} returns "
                f"{type(made).__name__}, which is no nn.Module"
            )
        made.to(device=device, dtype=dtype)
        if batch is not None and any(isinstance(each, nn.UninitializedParameter) for each in made.parameters()):
            made.eval()
            with user_code.running(model.factory, user_code.place(model.factory)), torch.no_grad():
                made(batch)
            made.train()
    if not any(parameter.requires_grad for parameter in made.parameters()):
        raise UserError(f"{user_code.place(model.factory)}: the module has no parameters to train")
    return made


def try_out(made: nn.Module, model: PythonModel, batch: Tensor, loss_of: Callable[[Tensor], Tensor]) -> None:
    """Pass a batch through the module, and its output through the loss, before anything is written.

    A copy of the module is tried, where it can be copied, so that what it keeps for itself stays as it is.

    Args:
        made: what `build_python` has returned.
        model: the factory, for messages.
        batch: a batch as training has it.
        loss_of: the loss of an output; it raises ValueError, with a sentence, for an output that does not fit.

    Raises:
        UserError: the module raises, or returns what the loss cannot be computed of.
    """
    tried = f"The module was tried on a batch of shape {tuple(batch.shape)}, {batch.dtype}."
    with own_random_state(0), batch_statistics(made):
        try:
            twin = copy.deepcopy(made)
        except Exception:  # of a module that holds what cannot be copied
            twin = made
        with torch.enable_grad():
            try:
                with user_code.running(model.factory, user_code.place(model.factory)):
                    output = twin(batch)
            except UserError as error:
                raise UserError(error.message, fix=tried) from error
            try:
                loss = loss_of(output)
            except ValueError as error:
                raise UserError(f"{user_code.place(model.factory)}: {error}", fix=tried) from error
        if not loss.requires_grad:
            message = "the output does not depend on any parameter that is trained, or autograd cannot follow it"
            raise UserError(f"{user_code.place(model.factory)}: {message}", fix=tried)
