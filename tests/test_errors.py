import inspect

import pytest

from gradlab import errors
from gradlab.errors import ConfigError, GradlabError, Problem, UserError

TREE = errors.__doc__


def test_the_tree_at_the_top_of_the_file_is_the_tree():
    raised = {name for name, member in inspect.getmembers(errors, inspect.isclass) if issubclass(member, GradlabError)}
    drawn = {word for line in TREE.splitlines()[2:] for word in line.split() if word.endswith("Error")}
    assert drawn == raised
    assert all(issubclass(getattr(errors, name), UserError) for name in drawn - {"GradlabError"})


def test_a_message_is_followed_by_its_fix():
    assert str(UserError("it is wrong")) == "it is wrong"
    assert str(UserError("it is wrong", fix="Do this.")) == "it is wrong\nDo this."


def test_a_config_error_tells_every_problem_in_a_line_of_its_own():
    problems = [Problem("seed: is missing", "x.yaml:3"), Problem("depth: unknown key")]
    error = ConfigError(problems, fix="Do this.")
    assert error.problems == tuple(problems)
    assert str(error).splitlines() == ["x.yaml:3: seed: is missing", "depth: unknown key", "Do this."]


def test_an_interrupted_run_is_an_interrupt_and_not_an_error():
    with pytest.raises(KeyboardInterrupt):
        raise errors.RunInterrupted("a run")
    assert not issubclass(errors.RunInterrupted, Exception)
