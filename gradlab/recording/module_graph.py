"""Which module feeds which, and on which chain from the loss to the input each of them lies: the table `modules`.

    forward hooks mark nodes of autograd's graph ─► the walk from the loss finds them again ─► rows

A mark is a number in the `metadata` of a node. It keeps no tensor, and it is gone with the graph of the step. A call is
one output of a module; calls and not modules are what a graph without circles is made of, because a module may be
called several times.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from torch import Tensor

from gradlab.measures.chains import LOSS, decompose, feeds_itself
from gradlab.operations import AVERAGES
from gradlab.recording.main_tensor import tensors_in
from gradlab.recording.numbering import Numbering
from gradlab.recording.structure import is_lazy
from gradlab.recording.torch_private import metadata, operation, output_shape

MOST_USERS = 32
"""Users of one output that are told at most, the first ones: the sum of a residual network has all later ones."""
FEW_CALLS = 4
"""A module that is called less often is not looked at as one that feeds itself."""
_keys = count()


class _Call(NamedTuple):
    """One output of a module.

    Attributes:
        module: which, by its number.
        shape: of the output.
        users: the calls, by number, into which it goes with no other recorded module between, and of how many of its
            entries each entry that arrives there is the mean; `LOSS` for the loss itself.
        passes: numbers of the step's backward passes that have reached it.
    """

    module: int
    shape: tuple[int, ...]
    users: dict[int, float]
    passes: set[int]


class _Facts(NamedTuple):
    """What a step has told of a module; see `gradlab.tables.COLUMNS`."""

    shape: tuple[int, ...]
    entries: int
    chain: tuple[int, int] | None
    before: Mapping[int, float]
    last: bool
    losses: Sequence[int]
    recurrent: bool


class ModuleGraph:
    """What the graphs of some steps say of the modules.

    Args:
        numbering: the recorded modules.
    """

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering
        self._key = f"gradlab {next(_keys)}"
        self._calls: list[_Call] = []
        self._passes = 0
        self._steps = 0
        self._known: dict[int, _Facts] = {}
        self._recurrent: tuple[tuple[int, int], frozenset[int]] = (0, 0), frozenset()

    def begin(self) -> None:
        """A step begins whose graph will be walked; also one that begins again."""
        self._known = self._all_known()
        self._calls = []
        self._passes = 0
        self._steps += 1

    def note(self, module: int, output: Any, x: Tensor) -> None:
        """Mark the nodes of a module's output.

        Args:
            module: which, by its number.
            output: what it has returned.
            x: the tensor that its row is about.
        """
        number = self._steps, len(self._calls)
        self._calls.append(_Call(module, tuple(x.shape), {}, set()))
        for tensor in tensors_in(output):
            if tensor.grad_fn is not None:
                notes = metadata(tensor.grad_fn)
                if notes.get(self._key, (-1,))[0] != self._steps:
                    notes[self._key] = number

    def walk(self, inputs: Mapping[Any, Sequence[Any]], users_first: Iterable[Any], roots: Iterable[Any]) -> None:
        """Follow the graph of a backward pass from what it was called on.

        Args:
            inputs: for each node of the graph, the nodes of what enters it.
            users_first: all nodes, each after those that use what it computes.
            roots: the nodes of what the pass was called on.
        """
        users: dict[Any, dict[int, float]] = {root: {LOSS: 1.0} for root in roots}
        for node in users_first:
            after = users.pop(node, None)
            if after is None or not inputs[node]:
                continue
            step, number = metadata(node).get(self._key, (-1, 0))
            if step == self._steps:
                call = self._calls[number]
                call.passes.add(self._passes)
                _merge(call.users, after)
                after = {number: 1.0}
            averages = operation(node) in AVERAGES
            for entering in inputs[node]:
                factor = _size(entering) / max(1, _size(node)) if averages else 1.0
                further = {user: factor * share for user, share in after.items()} if factor > 1 else after
                _merge(users.setdefault(entering, {}), further)
        self._passes += 1

    def recurrent(self) -> frozenset[int]:
        """The modules that are called with what an earlier call of them has returned, by number."""
        state = self._steps, self._passes
        if self._recurrent[0] != state:
            known = self._all_known()
            self._recurrent = state, frozenset(module for module, facts in known.items() if facts.recurrent)
        return self._recurrent[1]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table `modules`: a row a module that has computed something, in that order."""
        known, modules, names = self._all_known(), self._numbering.modules, self._numbering.names
        owners, places = self._numbering.owners, self._numbering.layers()
        numbers: dict[tuple[int, int], int] = {}
        rows = []
        for index, (layer, kind) in places.items():
            module, facts = modules[index], known.get(index)
            own = () if module.is_function else module.module.parameters(recurse=False)
            size = sum(each.numel() for each in own if each.requires_grad and not is_lazy(each))
            row: dict[str, Any] = {
                "layer": layer,
                "module": names[index],
                "kind": kind,
                "type": names[index].rpartition(":")[2] if module.is_function else type(module.module).__name__,
                "parameters": size,
                "optimizer": owners[index] if size else None,
            }
            if facts is not None:
                before = {each: share for each, share in facts.before.items() if each in places}
                row |= {
                    "shape": list(facts.shape),
                    "entries": facts.entries,
                    "chain": None if facts.chain is None else numbers.setdefault(facts.chain, len(numbers)),
                    "before": [names[each] for each in before],
                    "averaged": list(before.values()),
                    "last": facts.last,
                    "losses": list(facts.losses),
                    "recurrent": facts.recurrent,
                }
            rows.append(row)
        return rows

    def _all_known(self) -> dict[int, _Facts]:
        """What the steps before have told, and what the step that is going on has told so far, which goes first."""
        calls = self._calls if self._passes else []
        called = Counter(call.module for call in calls)
        of_module: dict[int, list[int]] = {}
        for number, call in enumerate(calls):
            of_module.setdefault(call.module, []).append(number)
        before: dict[int, dict[int, float]] = {module: {} for module in of_module}
        for call in calls:
            for user, share in call.users.items():
                if user != LOSS:
                    _merge(before[calls[user].module], {call.module: share})
        passes = {m: {each for n in numbers for each in calls[n].passes} for m, numbers in of_module.items()}
        chains = decompose(*self._comparable(calls, of_module, passes))
        users = [call.users for call in calls]
        facts = {
            module: _Facts(
                shape=calls[numbers[0]].shape,
                entries=sum(_product(calls[number].shape) for number in numbers),
                chain=(self._steps, chains[module]) if module in chains else None,
                before=before[module],
                last=any(LOSS in calls[number].users for number in numbers),
                losses=sorted(passes[module]),
                recurrent=called[module] >= FEW_CALLS and feeds_itself(numbers, users),
            )
            for module, numbers in of_module.items()
        }
        return {**facts, **self._known, **{module: fact for module, fact in facts.items() if fact.losses}}

    def _comparable(
        self, calls: Sequence[_Call], of_module: Mapping[int, Sequence[int]], passes: Mapping[int, set[int]]
    ) -> tuple[list[int], list[list[int]], list[int]]:
        """The graph for `decompose`: the module of each call, its users, and how many layers it counts for.

        A module whose users have a part in other backward passes than it has itself is the last one of a chain of its
        own: a generator before a discriminator that has a loss of its own, too. The δ in their rows is that of
        different losses.
        """
        users: list[list[int]] = []
        for call in calls:
            reached = passes[call.module]
            after = [user for user in call.users if user != LOSS]
            same = set().union(*(passes[calls[user].module] for user in after)) <= reached
            users.append(after if same else [])
        counts = [
            int(number == of_module[call.module][0] and self._numbering.modules[call.module].kind == "weight")
            for number, call in enumerate(calls)
        ]
        reached_calls = [call.module if call.passes else LOSS for call in calls]
        return reached_calls, users, counts


def _merge(into: dict[int, float], users: Mapping[int, float]) -> None:
    """Add users; of two ways to one of them, the one counts on which fewer entries are averaged."""
    for user, share in users.items():
        into[user] = min(share, into.get(user, share))
    if len(into) > MOST_USERS:
        for user in sorted(into)[MOST_USERS:]:
            del into[user]


def _product(shape: Iterable[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _size(node: Any) -> int:
    """Entries of what a node has computed, or of the leaf that it stands for."""
    leaf = getattr(node, "variable", None)
    return _product(output_shape(node)) if leaf is None else int(leaf.numel())
