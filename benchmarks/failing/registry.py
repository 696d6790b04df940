"""All failing trainings by name."""

from collections.abc import Mapping

from failing import (
    forums,
    forums_numbers,
    forums_outputs,
    graphs,
    loops,
    numbers,
    registration,
    reported,
    reported_numbers,
    scales,
    signals,
    unseen,
)
from failing.case import Failure

SEEN = (reported, reported_numbers, forums, forums_numbers, forums_outputs)
OWN = (signals, graphs, registration, loops, scales, numbers, unseen)

CASES: Mapping[str, Failure] = {
    case.name: case for module in (*SEEN, *OWN) for case in vars(module).values() if isinstance(case, Failure)
}
