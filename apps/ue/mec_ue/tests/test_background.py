"""A program in the background and its starter."""

from __future__ import annotations

from pathlib import Path

import pytest
from mec_ue.background import Background


def test_without_files_nothing_is_told_and_the_program_goes_on() -> None:
    background = Background()
    with background.told():
        background.begun()
        assert background.wanted()


def test_it_goes_on_until_the_file_is_gone(tmp_path: Path) -> None:
    goes_on = tmp_path / "goes-on"
    background = Background(goes_on=goes_on)
    assert not background.wanted()
    goes_on.touch()
    assert background.wanted()
    goes_on.unlink()
    assert not background.wanted()


def test_it_is_ready_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    background = Background(ready=ready)
    with background.told():
        assert not ready.exists()
        background.begun()
        assert ready.exists()
    assert not ready.exists()


def test_a_failure_is_an_end(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    background = Background(ready=ready)
    with pytest.raises(RuntimeError), background.told():
        background.begun()
        raise RuntimeError
    assert not ready.exists()
