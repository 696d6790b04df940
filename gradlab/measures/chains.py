"""Chains of a network: ways from the loss to the input, each module on one of them.

A network is a graph of calls without circles. From each call, one way leads to the loss along which most layers lie; so
the ways of all calls make a tree. It is cut into chains: the longest way first, then the longest of what is left, up to
where it meets a chain that is there already. A network without branches is one chain. Two networks that do not meet are
two; a branch, a second head or the query beside the key and the value of an attention is a chain of its own.
"""

from collections.abc import Mapping, Sequence

LOSS = -1
"""Stands for the loss among the users of a call, and for no module among the modules of calls."""


def decompose(modules: Sequence[int], users: Sequence[Sequence[int]], counts: Sequence[int]) -> dict[int, int]:
    """Cut a graph into chains.

    Args:
        modules: for each call, its module, by number; `LOSS` for a call that no loss depends on, which is left out.
        users: for each call, the calls that use what it has returned; all of them are later ones.
        counts: how many layers each call counts for.

    Returns:
        The number of the chain of each module, from 0 for the one with most layers. A module that is called several
        times is on the first chain that gets to it.
    """
    length, way = [0] * len(modules), [LOSS] * len(modules)
    for call in reversed(range(len(modules))):
        later = [user for user in users[call] if user > call and modules[user] != LOSS]
        if later:
            way[call] = max(later, key=lambda user: (length[user], user))
        length[call] = counts[call] + (length[way[call]] if later else 0)
    chains: dict[int, int] = {}
    taken: set[int] = set()
    number = 0
    for call in sorted(range(len(modules)), key=lambda call: (-length[call], call)):
        if modules[call] == LOSS or call in taken:
            continue
        new = False
        while call != LOSS and call not in taken:
            taken.add(call)
            if modules[call] not in chains:
                chains[modules[call]] = number
                new = True
            call = way[call]  # noqa: PLW2901 (it goes on along the way)
        number += new
    return chains


def feeds_itself(calls: Sequence[int], users: Sequence[Mapping[int, float]]) -> bool:
    """Whether what the first of some calls has returned enters a later one of them.

    Args:
        calls: the calls of one module.
        users: for each call of all modules, the calls that use what it has returned.
    """
    wanted, stack, seen = set(calls[1:]), [calls[0]], set()
    while stack:
        for user in users[stack.pop()]:
            if user in wanted:
                return True
            if user != LOSS and user not in seen:
                seen.add(user)
                stack.append(user)
    return False
