"""The devices on which something is recorded, each with the backend that takes sums there."""

import torch

from gradlab.recording import native
from gradlab.recording.backend import Backend
from gradlab.recording.calls import Device
from gradlab.recording.native.backend import Native
from gradlab.recording.plain import Plain

CPU = torch.device("cpu")


class Devices(dict[torch.device, Device]):
    """What is kept for each device, from the first time that somebody asks for it."""

    def __missing__(self, device: torch.device) -> Device:
        self[device] = Device(device, choose_backend(device))
        return self[device]


def choose_backend(device: torch.device) -> Backend:
    """The native backend in main memory, where gradlab was installed with native code; elsewhere the plain one."""
    if device.type == "cpu" and native.LIBRARY is not None:
        return Native(native.LIBRARY, Plain(device))
    return Plain(device)
