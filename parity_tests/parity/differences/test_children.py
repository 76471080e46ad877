"""A form that raises, crashes or hangs costs its own outcome and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.differences.child import Job, Outcome, run
from twinzoo.parity.differences.children import run_all
from twinzoo.zoo.errors import ParityError

FAKE = "parity_tests.parity.differences.fake_framework"


@pytest.fixture(autouse=True)
def _findable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def values(*forms: str, timeout: float = 60.0) -> list[Outcome]:
    return run_all(FAKE, [Job("value", form) for form in forms], timeout)


def test_outcomes_come_in_order_around_what_goes_wrong() -> None:
    outcomes = values(
        "1 + 1",
        "os._exit(3)",
        "print('half a line', end='')",
        "[][0]",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "'end'",
    )
    assert [outcome.text for outcome in outcomes] == ["2", "", "None", "", "", "end"]
    assert [outcome.problem for outcome in outcomes] == [
        "",
        "ends the process with status 3",
        "",
        "IndexError: list index out of range",
        "crashes the process (SIGKILL)",
        "",
    ]


def test_the_first_and_the_last_form_may_crash() -> None:
    first, middle, last = values("os._exit(3)", "5", "os._exit(4)")
    assert (first.problem, middle.text, last.problem) == (
        "ends the process with status 3", "5", "ends the process with status 4"
    )  # fmt: skip


def test_a_hanging_form_is_left_behind() -> None:
    done, hanging = values("7", "time.sleep(60)", timeout=3.0)
    assert done.text == "7"
    assert hanging.problem == "gives no answer within 3 s"


def test_a_framework_that_does_not_start_is_an_error() -> None:
    with pytest.raises(ParityError, match="no_such_module does not start: .*No module named 'no_such_module'"):
        run_all("no_such_module", [Job("value", "1")] * 5)


def test_an_outcome_survives_its_line_of_json() -> None:
    arrays = {"forward": np.array([[1.5, np.nan], [np.inf, 1e-30]]), "scalar": np.float64(2.0) * np.ones(())}
    read = Outcome.from_json(Outcome(arrays, "text", "problem").to_json())
    assert (read.text, read.problem, list(read.arrays)) == ("text", "problem", ["forward", "scalar"])
    for name, x in arrays.items():
        np.testing.assert_array_equal(read.arrays[name], x)


class _Half:
    """Its forward pass works, its gradient does not."""

    def make(self, form: str, draw: object, train: bool) -> None:
        pass

    def forward(self, made: None, inputs: object) -> dict[str, NDArray[Any]]:
        return {"forward": np.ones(2)}

    def gradients(self, made: None, inputs: object, draw: object) -> dict[str, NDArray[Any]]:
        raise RuntimeError(f"\n----\n- The reason:\n- no kernel {'x' * 300}\n at some/file.cc:7")


def test_what_worked_before_a_failure_is_kept_and_the_message_is_one_short_line() -> None:
    outcome = run(_Half(), Job("layer", "x", ("image",)))
    assert list(outcome.arrays) == ["forward"]
    assert outcome.problem.startswith("gradient: RuntimeError: no kernel")
    assert "\n" not in outcome.problem
    assert len(outcome.problem) < 150


class _Steps:
    """An optimizer that always moves by 0.5."""

    def optimize(self, form: str, start: NDArray[Any], slopes: list[NDArray[Any]]) -> list[NDArray[Any]]:
        return [start + np.float32(0.5) * (i + 1) for i in range(len(slopes))]


def test_an_optimizer_is_held_by_the_distance_that_it_moved() -> None:
    arrays = run(_Steps(), Job("optimizer", "x", ("gradients",))).arrays
    np.testing.assert_allclose(arrays["step 1"], 0.5, atol=1e-6)
    np.testing.assert_allclose(arrays["step 10"], 5.0, atol=1e-6)
