"""ETSI's OpenAPI files: what responses and notifications have to be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parent / "etsi"
FILES = {
    "/location/v2": "LocationAPI.json",
    "/amsi/v1": "MEC021_AppMobilityService.json",
    "/rni/v2": "RniAPI.json",
}


@cache
def document(prefix: str) -> dict[str, Any]:
    """The file that describes what is below a prefix."""
    content: dict[str, Any] = json.loads((FOLDER / FILES[prefix]).read_text())
    return content


def validate(prefix: str, schema: dict[str, Any], content: Any) -> None:
    """Raise where content is not what a schema of the file asks for."""
    whole = {**schema, "components": document(prefix)["components"]}
    Draft202012Validator(whole).validate(content)


def named(prefix: str, name: str, content: Any) -> None:
    """Raise where content is not of a type of the file."""
    validate(prefix, {"$ref": f"#/components/schemas/{name}"}, content)


class Checked:
    """A client whose every answer is held against the file."""

    def __init__(self, client: TestClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        # The most literal path first: /subscriptions/ is not /subscriptions/{id}.
        self._paths = sorted(document(prefix)["paths"], key=lambda path: path.count("{"))

    def __getattr__(self, method: str) -> Callable[..., Response]:
        def send(path: str, **more: Any) -> Response:
            response = self._client.request(method.upper(), self._prefix + path, **more)
            self._check(method, path.partition("?")[0], response)
            return response

        return send

    def _check(self, method: str, path: str, response: Response) -> None:
        operation = next(
            document(self._prefix)["paths"][known][method]
            for known in self._paths
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", known), path)
        )
        described = operation["responses"].get(str(response.status_code))
        assert described is not None, f"{response.status_code} is not described"
        if "$ref" in described:
            name = described["$ref"].rpartition("/")[2]
            described = document(self._prefix)["components"]["responses"][name]
        if response.status_code == 204:
            assert response.content == b""
            return
        kind = response.headers["content-type"]
        validate(self._prefix, described["content"][kind]["schema"], response.json())
