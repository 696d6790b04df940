"""`torch.compile`: recorded steps run as the model was written, the others as compiled, once."""

import contextlib
import warnings

import polars as pl
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab.recording.eager import MESSAGE, RAN_COMPILED
from gradlab.recording.torch_private import bare_name, compiler_stance

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:Recorded steps run without", "ignore:The .grad attribute of a Tensor"
)

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
STEPS = 20


class Backend:
    """Runs graphs as they are, and counts them."""

    def __init__(self):
        self.graphs = self.calls = 0

    def __call__(self, graph, inputs):
        self.graphs += 1

        def run(*arguments):
            self.calls += 1
            return graph.forward(*arguments)

        return run


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        return x + functional.gelu(self.inner(self.norm(x)))


@pytest.fixture(autouse=True)
def fresh():
    """Nothing is compiled yet, and the stance is as it was when a test ends."""
    torch.compiler.reset()
    nothing = torch.optim.SGD([torch.zeros(1)])  # imports the compiler
    before = compiler_stance()
    yield nothing
    assert compiler_stance() is before
    torch.compiler.reset()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), Block(), nn.Linear(8, 2))


def loss_of(call, x):
    return call(x).square().mean()


def compile_nothing(model, backend):
    return model, lambda x: loss_of(model, x)


def compile_model(model, backend):
    compiled = torch.compile(model, backend=backend)
    return compiled, lambda x: loss_of(compiled, x)


def compile_model_whole(model, backend):
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    return compiled, lambda x: loss_of(compiled, x)


def compile_in_place(model, backend):
    model.compile(backend=backend)
    return model, lambda x: loss_of(model, x)


def compile_wrapped_region(model, backend):
    model[2] = torch.compile(model[2], backend=backend)
    return model, lambda x: loss_of(model, x)


def compile_region(model, backend):
    model[2].compile(backend=backend)
    return model, lambda x: loss_of(model, x)


def compile_function(model, backend):
    return model, torch.compile(lambda x: loss_of(model, x), backend=backend)


HOWS = [
    compile_model,
    compile_model_whole,
    compile_in_place,
    compile_wrapped_region,
    compile_region,
    compile_function,
]


class Watched:
    """A training, watched in every so many steps, or not at all: every=None."""

    def __init__(
        self,
        how,
        *,
        every=None,
        watch_first=False,
        steps=STEPS,
        of_original=False,
        passes=1,
        between=lambda step: None,
        evaluates=False,
    ):
        self.backend = Backend()
        self.model = network()
        optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.calls = []
        if not watch_first:
            model, loss = how(self.model, self.backend)
        else:
            model = self.model
        watched = self.model if of_original else model
        options = {"every": every or 1, "strict": True}
        self.watch = gradlab.watch(watched, optimizer, **options) if every else None
        with self.watch or contextlib.nullcontext():
            if watch_first:
                _, loss = how(self.model, self.backend)
            for step in range(steps):
                before = self.backend.calls
                optimizer.zero_grad()
                for number in range(passes):
                    loss(X + number).backward()
                self.calls.append(self.backend.calls - before)
                optimizer.step()
                between(step)
                if evaluates:
                    with torch.no_grad():
                        loss(X)
        self.loss = loss


def same_tables(one, other):
    for table in ("layers", "steps"):
        a, b = (getattr(each.watch.tables, table) for each in (one, other))
        numbers = [name for name, kind in a.schema.items() if kind.is_float() and "second" not in name]
        rest = [name for name in a.columns if not a.schema[name].is_float()]
        assert a.height > 0
        assert a.select(rest).equals(b.select(rest))
        for name in numbers:
            assert a[name].is_null().equals(b[name].is_null()), name
            found, expected = (each[name].drop_nulls().to_list() for each in (a, b))
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-9, nan_ok=True), name


def same_parameters(one, other):
    pairs = zip(one.model.named_parameters(), other.model.named_parameters(), strict=True)
    for (name, a), (other_name, b) in pairs:
        assert bare_name(name) == bare_name(other_name)
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("watch_first", [False, True], ids=["compiled first", "watched first"])
@pytest.mark.parametrize("how", HOWS)
def test_recorded_steps_have_the_rows_of_eager_training_and_the_others_are_compiled_once(how, watch_first):
    bare, eager = Watched(how), Watched(compile_nothing, every=5)
    watched = Watched(how, every=5, watch_first=watch_first)
    assert watched.watch.rows()["step"].unique().sort().to_list() == [0, 5, 10, 15]
    same_tables(watched, eager)
    same_parameters(watched, bare)
    assert watched.backend.graphs == bare.backend.graphs > 0
    assert [calls > 0 for calls in watched.calls] == [step % 5 != 0 for step in range(STEPS)]
    assert [calls for calls in watched.calls if calls] == bare.calls[: STEPS - 4]


@pytest.mark.parametrize("how", HOWS)
def test_with_every_step_recorded_nothing_is_compiled_until_the_watch_ends(how):
    eager, watched = (Watched(each, every=1, steps=4) for each in (compile_nothing, how))
    same_tables(watched, eager)
    same_parameters(watched, eager)
    assert watched.backend.graphs == 0


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("how", HOWS)
def test_several_backward_passes_a_step_and_evaluations_in_between(how, every):
    loop = {"passes": 3, "evaluates": True, "steps": 11}
    bare, eager = Watched(how, **loop), Watched(compile_nothing, every=every, **loop)
    watched = Watched(how, every=every, **loop)
    same_tables(watched, eager)
    same_parameters(watched, bare)
    assert watched.watch.rows().filter(module="2.inner")["calls"].unique().to_list() == [3]


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("how", HOWS)
def test_after_the_watch_the_model_runs_compiled_as_if_it_had_never_been_watched(how, every):
    bare, watched = Watched(how), Watched(how, every=every, steps=7)
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not any(getattr(module, kind) for module in watched.model.modules() for kind in kinds)
    assert not any(parameter._post_accumulate_grad_hooks for parameter in watched.model.parameters())
    for _ in range(3):
        before = watched.backend.calls
        watched.loss(X).backward()
        assert watched.backend.calls - before == bare.calls[0]
    assert watched.backend.graphs == bare.backend.graphs


@pytest.mark.parametrize("how", [compile_model, compile_function])
def test_the_model_itself_is_watched_and_something_else_around_it_is_trained(how):
    eager = Watched(compile_nothing, every=5)
    watched = Watched(how, every=5, of_original=True)
    same_tables(watched, eager)
    assert watched.backend.graphs == Watched(how).backend.graphs


@pytest.mark.parametrize(("every", "steps"), [(1, 1), (5, 12)])
@pytest.mark.parametrize("how", HOWS)
def test_it_is_said_once(how, every, steps):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        Watched(how, every=every, steps=steps)
    assert [str(each.message) for each in said if each.category is RuntimeWarning] == [MESSAGE]


def test_nothing_is_said_where_nothing_is_compiled():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Watched(compile_nothing, every=5)


@pytest.mark.parametrize("fails_in", [5, 7], ids=["recorded", "not recorded"])
def test_an_error_leaves_the_stance_as_it_was(fails_in):
    def fail(step):
        if step == fails_in - 1:
            raise ValueError("the loop has failed")

    before = compiler_stance()
    with pytest.raises(ValueError, match="the loop has failed"):
        Watched(compile_model, every=5, between=fail)
    assert compiler_stance() is before


def test_a_watch_that_nobody_leaves_leaves_the_stance_as_it_was():
    before = compiler_stance()
    model = network()
    watch = gradlab.watch(model, torch.optim.SGD(model.parameters(), lr=0.1)).__enter__()
    assert compiler_stance().stance == "force_eager"
    del watch
    assert compiler_stance() is before


def test_a_stance_of_the_user_comes_back():
    with torch.compiler.set_stance("eager_on_recompile"):
        own = compiler_stance()
        Watched(compile_model, every=5)
        assert compiler_stance() is own


def test_a_stance_that_the_loop_sets_meanwhile_stays():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = compiler_stance()
    with gradlab.watch(model, optimizer, every=2):
        own = torch.compiler.set_stance("eager_on_recompile")
        loss_of(model, X).backward()
        optimizer.step()
        assert compiler_stance() is own.stance
    torch.compiler.set_stance("default")
    assert compiler_stance() == before
    own.__exit__(None, None, None)  # back to what it found: the stance of the recorded step
    with gradlab.watch(model, optimizer):
        pass


@pytest.mark.parametrize("every", [1, 5])
def test_a_stance_that_the_loop_sets_in_each_step_leaves_no_other_behind(every):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    own = torch.compiler.set_stance("default")
    with gradlab.watch(model, optimizer, every=every):
        for _ in range(STEPS):
            with torch.compiler.set_stance("eager_on_recompile"):
                loss_of(model, X).backward()
                optimizer.step()
    assert compiler_stance().stance != "force_eager"
    own.__exit__(None, None, None)


class Stubborn(nn.Module):
    """Runs a part compiled, whatever the stance is."""

    def __init__(self, part, after):
        super().__init__()
        self.part, self.after = part, after

    def forward(self, x):
        with torch.compiler.set_stance("default"):
            x = self.part(x)
        return self.after(x)


def test_a_loop_that_sets_the_stance_in_each_step_is_told_that_rows_may_be_missing():
    model = Stubborn(nn.Sequential(nn.Linear(6, 8), nn.ReLU()), nn.Linear(8, 2))
    model.part = torch.compile(model.part, backend="aot_eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with gradlab.watch(model, optimizer, layers="after") as watch:
            for _ in range(2):
                optimizer.zero_grad()
                loss_of(model, X).backward()
                optimizer.step()
    assert sorted(str(each.message) for each in said if each.category is RuntimeWarning) == [RAN_COMPILED, MESSAGE]
    assert watch.rows()["module"].to_list() == ["after"] * 2


class Conditional(nn.Module):
    """Computes with an operator that calls the compiler whenever it runs, also where nothing is compiled."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 2)

    def forward(self, x):
        x = self.linear(x)
        return torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x.cos(), (x,))


@pytest.mark.parametrize("compiled", [False, True], ids=["not compiled", "compiled"])
def test_operators_that_call_the_compiler_themselves_go_on_doing_so(compiled):
    trained = []
    for every in (None, 1):
        torch.manual_seed(0)
        model = Conditional()
        call = torch.compile(model, backend="aot_eager") if compiled else model
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with gradlab.watch(model, optimizer, every=every) if every else contextlib.nullcontext():
            for _ in range(3):
                optimizer.zero_grad()
                loss_of(call, X).backward()
                optimizer.step()
        trained.append(model)
    torch.testing.assert_close(trained[0].linear.weight, trained[1].linear.weight)


def test_two_watches_at_once_hold_the_stance_until_both_are_through():
    before = compiler_stance()
    one, other = network(), network()
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (one, other)]
    with gradlab.watch(one, optimizers[0], every=2), gradlab.watch(other, optimizers[1], every=2):
        for model, optimizer, stance in zip((one, other), optimizers, ("force_eager", "default"), strict=True):
            loss_of(model, X).backward()
            optimizer.step()
            assert compiler_stance().stance == stance
    assert compiler_stance() is before


def test_an_evaluation_inside_is_neither_recorded_nor_a_warning():
    model = network()
    model[2] = torch.compile(model[2], backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Using `torch.compile")
        warnings.filterwarnings("ignore", message="Recorded steps run without")
        with gradlab.watch(model, optimizer, every=2, strict=True) as watch:
            for _ in range(4):
                optimizer.zero_grad()
                loss_of(model, X).backward()
                optimizer.step()
                with torch.no_grad():
                    model(X)
    assert watch.rows().filter(pl.col("module") == "2.inner")["calls"].to_list() == [1, 1]


def test_a_compiled_update_is_compiled_no_more_often_for_being_watched():
    graphs = []
    for every in (2, 5):
        torch.compiler.reset()
        backend, model = Backend(), network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = torch.compile(optimizer.step, backend=backend)
        with gradlab.watch(model, optimizer, every=every, strict=True) as watch:
            for _ in range(STEPS):
                optimizer.zero_grad()
                loss_of(model, X).backward()
                step()
        assert watch.rows()["step"].n_unique() == STEPS // every
        graphs.append(backend.graphs)
    assert graphs == [1, 1]
