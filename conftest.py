"""What all tests share."""

import contextlib
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine is not a failed test.
settings.register_profile("mec", deadline=None)
settings.load_profile("mec")


@pytest.fixture(autouse=True)
def ordinary_priority() -> Iterator[None]:
    """What the library does in this process gives way to others; the tests after it do not."""
    yield
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, int(thread), 0)
