"""What the image is made from."""

from __future__ import annotations

from pathlib import Path

RLAPP = Path(__file__).parents[1]


def pins(file: Path) -> dict[str, str]:
    """Package -> version."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==", 1) for line in lines if "==" in line and line[0] != "#")


def test_the_ansible_of_the_image_is_that_of_the_project() -> None:
    project = pins(RLAPP.parents[1] / "requirements.txt")
    image = pins(RLAPP / "requirements-image.txt")
    assert {"ansible", "ansible-core"} <= set(image)
    assert {name: project.get(name) for name in image} == image


def test_what_it_is_tested_with_has_one_version() -> None:
    project = pins(RLAPP.parents[1] / "requirements.txt")
    project |= pins(RLAPP.parents[1] / "requirements-dev.txt")
    tests = pins(RLAPP / "requirements-dev.txt")
    shared = set(tests) & set(project)
    assert "playwright" in shared
    assert {name: tests[name] for name in shared} == {name: project[name] for name in shared}


def test_no_registry_is_recorded() -> None:
    lock = (RLAPP / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in lock and "http" not in lock
    assert lock.count('"integrity": "sha512-') == 2
