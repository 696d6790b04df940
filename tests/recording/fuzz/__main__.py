"""Many seeds: `python -m tests.recording.fuzz FIRST COUNT [ACTION,…]`. Prints the kinds of disagreement, with seeds."""

import collections
import sys
import traceback
import warnings

import torch

from tests.recording.fuzz.checking import check
from tests.recording.fuzz.loops import ACTIONS

torch.set_num_threads(1)
warnings.simplefilter("ignore")
first, count = int(sys.argv[1]), int(sys.argv[2])
actions = sys.argv[3].split(",") if len(sys.argv) > 3 else ACTIONS
kinds, examples, good = collections.Counter(), collections.defaultdict(list), 0
for seed in range(first, first + count):
    try:
        problems, loop = check(seed, actions=actions)
        chosen = sorted(loop.chosen)
    except Exception as error:
        problems, chosen = [(f"{type(error).__name__}: {str(error)[:100]}",)], []
        if not kinds[problems[0][0]]:
            traceback.print_exc(limit=-4)
    good += not problems
    for kind in {problem[0] for problem in problems}:
        kinds[kind] += 1
        examples[kind].append((seed, chosen, next(problem for problem in problems if problem[0] == kind)))
print(f"{good} of {count} good")
for kind, number in kinds.most_common():
    print(number, kind)
    for example in examples[kind][:4]:
        print("    ", example)
