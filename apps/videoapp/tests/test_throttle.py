"""The bound on attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from videoapp.throttle import Throttle


class Clock:
    """A clock that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.floats(0.001, 5), max_size=200))
def test_never_more_than_the_limit_within_a_window(pauses: list[float]) -> None:
    clock = Clock()
    throttle = Throttle(limit=3, window_s=10, clock=clock)
    admitted: list[float] = []
    for pause in pauses:
        clock.now_s += pause
        if throttle.wait_s("peer") == 0:
            throttle.count("peer")
            admitted.append(clock.now_s)
    for first, fourth in zip(admitted, admitted[3:], strict=False):
        assert fourth - first >= 10


def test_after_the_wait_it_goes_on() -> None:
    clock = Clock()
    throttle = Throttle(limit=1, window_s=10, clock=clock)
    throttle.count("peer")
    assert throttle.wait_s("peer") == 10
    assert throttle.wait_s("other") == 0
    clock.now_s += throttle.wait_s("peer")
    assert throttle.wait_s("peer") == 0


def test_a_success_is_not_held_against_anybody() -> None:
    throttle = Throttle(limit=1, window_s=10)
    for _ in range(5):
        throttle.count("peer")
        throttle.refund("peer")
    assert throttle.wait_s("peer") == 0


def test_strangers_do_not_fill_the_memory() -> None:
    throttle = Throttle(limit=1, window_s=10)
    for number in range(20_000):
        throttle.count(str(number))
    assert len(throttle._attempts) == 10_000
