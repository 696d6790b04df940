"""All failing trainings by name."""

from collections.abc import Mapping

from failing import graphs, loops, numbers, registration, reported, reported_numbers, scales, signals
from failing.case import Failure

CASES: Mapping[str, Failure] = {
    case.name: case
    for module in (reported, reported_numbers, signals, graphs, registration, loops, scales, numbers)
    for case in vars(module).values()
    if isinstance(case, Failure)
}
