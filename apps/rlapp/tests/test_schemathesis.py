"""All operations of ETSI's files with requests that are drawn from them, right and wrong ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from etsi_files import FILES, document
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from played import TOKEN, PlayedRunner, config_in, report
from rlapp.app import create_app
from rlapp.etsi import amsi, location, rni
from rlapp.service import build
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from subscriber import listening
from test_amsi import SERVICE
from test_location import KINDS

# What an answer must be. The files do not describe 405 and 415 everywhere, so statuses are looked
# at below.
WANTED = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
]
ALWAYS = {405, 406, 413, 415}
EXAMPLES = 15


def schema_of(prefix: str) -> Any:
    """The operations of one file; of MEC 012 those that are offered."""
    schema = schemathesis.openapi.from_dict(document(prefix))
    return schema.include(path_regex="^/subscriptions") if prefix == "/rni/v2" else schema


class World:
    """A service in which there is something to find. What was deleted is made again."""

    def __init__(self, client: TestClient, callback: str) -> None:
        self.client = client
        self.callback = callback
        self._found: dict[str, str] = {}
        reference = {"notifyURL": callback}
        mobility = {
            "subscriptionType": "MobilityProcedureSubscription",
            "callbackReference": callback,
            "filterCriteria": {},
        }
        cell_change = {
            "subscriptionType": "CellChangeSubscription",
            "callbackReference": callback,
            "filterCriteriaAssocHo": {},
        }
        self._bodies: dict[str, Any] = {
            "/amsi/v1/app_mobility_services": SERVICE,
            "/amsi/v1/subscriptions/": mobility,
            "/rni/v2/subscriptions": cell_change,
            **{
                f"/location/v2/subscriptions/{kind}": {
                    name: {**body, "callbackReference": reference}
                }
                for kind, (name, body) in KINDS.items()
            },
        }
        client.post("/api/locations", json=report())
        client.post("/api/survey")

    def names(self, path: str) -> dict[str, str]:
        """The path parameters of something that is there."""
        if "{zoneId}" in path:
            return {"zoneId": "zone1", "accessPointId": "cell1"}
        collection = path.partition("{")[0]
        made = next(name for name in (collection, collection.rstrip("/")) if name in self._bodies)
        found = self._found.get(collection)
        if not found or self.client.get(found).status_code != 200:
            answer = self.client.post(made, json=self._bodies[made])
            found = self._found[collection] = answer.headers["location"]
        number = found.rpartition("/")[2]
        return {"subscriptionId": number, "appMobilityServiceId": number}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world that is asked."""
    config = config_in(tmp_path_factory.mktemp("rlapp"))
    app = create_app(build(config, PlayedRunner(config.handoffs.results_dir)))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(app, headers=headers) as client, listening() as subscriber:
        yield World(client, subscriber.url)


def to_what_there_is(case: Any, world: World, prefix: str) -> None:
    """Have a request ask for something that exists, and call back where it is allowed."""
    if case.path_parameters:
        names = world.names(prefix + case.operation.path)
        case.path_parameters = {name: names[name] for name in case.path_parameters}
    if isinstance(case.body, dict):
        for part in (case.body, *case.body.values()):
            if isinstance(part, dict) and "callbackReference" in part:
                plain = isinstance(part["callbackReference"], str)
                url = world.callback
                part["callbackReference"] = url if plain else {"notifyURL": url}


def check(case: Any, world: World, prefix: str, turn: int) -> None:
    """Send one request, and look at the answer. Every other one has its chance to succeed."""
    if turn % 2 == 0:
        to_what_there_is(case, world, prefix)
    sent = case.as_transport_kwargs(base_url=f"http://testserver{prefix}")
    if "data" in sent and isinstance(sent["data"], bytes | str):
        sent["content"] = sent.pop("data")
    wanted = ("method", "url", "params", "json", "content", "data")
    headers = {name: value for name, value in sent["headers"].items() if "\n" not in value}
    response = world.client.request(
        **{name: sent[name] for name in wanted if sent.get(name) is not None}, headers=headers
    )
    case.validate_response(response, checks=WANTED)
    described = {int(status) for status in case.operation.definition.raw["responses"]}
    assert response.status_code in described | ALWAYS, response.text


TURNS = itertools.count()
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("prefix", FILES)
def test_all_operations_are_offered(prefix: str) -> None:
    """What follows would not see an operation that is missing: 404 and 405 are described."""
    routers = {"/location/v2": location, "/amsi/v1": amsi, "/rni/v2": rni}
    shape = {
        (method, "/".join("{}" if part[:1] == "{" else part for part in route.path.split("/")))
        for route in routers[prefix].routes.routes
        for method in route.methods
    }
    for result in schema_of(prefix).get_all_operations():
        operation = result.ok()
        path = "/".join(
            "{}" if part[:1] == "{" else part for part in (prefix + operation.path).split("/")
        )
        assert (operation.method.upper(), path) in shape


@schema_of("/location/v2").parametrize()
@QUIET
def test_location(case: Any, world: World) -> None:
    check(case, world, "/location/v2", next(TURNS))


@schema_of("/amsi/v1").parametrize()
@QUIET
def test_amsi(case: Any, world: World) -> None:
    check(case, world, "/amsi/v1", next(TURNS))


@schema_of("/rni/v2").parametrize()
@QUIET
def test_rni(case: Any, world: World) -> None:
    check(case, world, "/rni/v2", next(TURNS))
