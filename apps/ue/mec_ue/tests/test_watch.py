"""What a viewer does and tells, without a browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from mec_ue import watch
from mec_ue.samples import Sample
from mec_ue.testbed import TestbedError
from mec_ue.watch import Viewer


@pytest.fixture
def viewer() -> Viewer:
    """Somebody who has watched for a second, in front of a page that knows nothing."""
    viewer = Viewer(MagicMock(), "https://videoapp.mec.test")
    viewer.page.evaluate.return_value = []  # type: ignore[attr-defined]
    viewer.samples = [Sample(0.0, 5.0, False, 9.0), Sample(1.0, 6.0, False, 9.0)]
    return viewer


def opens_with(viewer: Viewer, *positions_s: float | None) -> None:
    viewer.page.evaluate.side_effect = positions_s  # type: ignore[attr-defined]


def test_watching_ends_as_soon_as_it_is_not_wanted(viewer: Viewer) -> None:
    wanted = iter([True, True, False])
    viewer.watch_for(60, lambda: next(wanted))
    assert viewer.page.wait_for_timeout.call_count == 2  # type: ignore[attr-defined]


def test_a_page_that_opens_where_it_was_left_has_kept_all(viewer: Viewer) -> None:
    opens_with(viewer, None, 0.0, 5.5)
    assert viewer.reopen() == 5.5
    report = viewer.report()
    assert report["session_kept"] is True
    assert report["watch_time_kept"] is True


def test_who_has_to_sign_in_again_has_lost_the_session(viewer: Viewer) -> None:
    viewer.signed_out = 1
    assert viewer.reopen() is None
    report = viewer.report()
    assert report["session_kept"] is False
    assert report["watch_time_kept"] is False


def test_a_page_that_does_not_come_has_kept_nothing(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "REOPEN_TIMEOUT_S", 0.0)
    opens_with(viewer, None, None)
    assert viewer.reopen() is None
    assert viewer.report()["session_kept"] is False


def test_a_page_that_was_not_opened_again_says_nothing_of_it(viewer: Viewer) -> None:
    assert "session_kept" not in viewer.report()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["watch", *arguments])
    watch.main()


def test_the_report_is_written_before_the_end_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready, report = tmp_path / "ready", tmp_path / "report.json"

    def watched(_options: Any, background: Any) -> dict[str, Any]:
        background.begun()
        assert ready.exists()
        return {"duration_s": 1.0}

    monkeypatch.setattr(watch, "watch", watched)
    run(monkeypatch, "--ready", str(ready), "--report", str(report))
    assert json.loads(report.read_text()) == {"duration_s": 1.0}
    assert not ready.exists()


def test_a_failure_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_options: Any, _background: Any) -> dict[str, Any]:
        raise TestbedError("ue9 is no UE of the inventory")

    monkeypatch.setattr(watch, "watch", fails)
    with pytest.raises(SystemExit, match="watch: ue9 is no UE"):
        run(monkeypatch)
