"""Schedules of the learning rate: what it is multiplied with in each step, as `torch.optim.lr_scheduler` has them."""

from collections.abc import Mapping
from math import cos, pi
from typing import Annotated, Literal

from pydantic import Field

from gradlab.choices.base import Choice, Count, Times, by_name

Share = Annotated[float, Field(ge=0, le=1)]


class Schedule(Choice):
    """What every schedule shares: steps at the start in which the rate rises to its full value."""

    warmup: Times = 0
    """Steps at the start in which the rate rises in a straight line: 1/(warmup + 1) of it in the first step."""

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate is multiplied with in a step, from 0, of a training of so many steps."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        return self.after_warmup(step - self.warmup, max(steps - self.warmup, 1))

    def after_warmup(self, step: int, steps: int) -> float:
        """The same once the rate has risen, counted from there."""
        return 1.0


class ConstantRate(Schedule):
    """The learning rate stays as it is."""

    name: Literal["constant"] = "constant"


class Cosine(Schedule):
    """Half a cosine, from the learning rate to its end (Loshchilov & Hutter 2017)."""

    name: Literal["cosine"] = "cosine"
    end: Share = 0.0
    """Share of the learning rate that is reached after the last step."""

    def after_warmup(self, step: int, steps: int) -> float:
        """Half a cosine from 1 to `end`."""
        return self.end + (1 - self.end) * (1 + cos(pi * step / steps)) / 2


class LinearDecay(Schedule):
    """A straight line, from the learning rate to its end."""

    name: Literal["linear"] = "linear"
    end: Share = 0.0
    """Share of the learning rate that is reached after the last step."""

    def after_warmup(self, step: int, steps: int) -> float:
        """A straight line from 1 to `end`."""
        return 1 + (self.end - 1) * step / steps


class StepDecay(Schedule):
    """The learning rate is multiplied with a number again and again, after so many steps each time."""

    name: Literal["step"] = "step"
    every: Count = 100
    """Steps between two multiplications."""
    gamma: Share = 0.1
    """What the rate is multiplied with."""

    def after_warmup(self, step: int, steps: int) -> float:
        """A power of `gamma`."""
        return self.gamma ** (step // self.every)


SCHEDULES: Mapping[str, type[Schedule]] = by_name(ConstantRate, Cosine, LinearDecay, StepDecay)
