"""The cluster: what runs, who may do what, and what it refuses."""

from __future__ import annotations

import json
import os
import stat
import zlib
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

STATE = Path(os.environ.get("MEC_STATE") or Path(__file__).parents[3] / ".mec")
KUBECONFIG = STATE / "kubernetes" / "admin.conf"
RELEASE = STATE / "kubernetes" / "release"
NODES = ["master", "worker1", "worker2"]
ME_HOSTS = ["worker1", "worker2"]
BACKBONE = {"worker1": "10.77.0.11", "worker2": "10.77.0.12"}
# Where ME hosts publish videoapp, by its name.
PORT = 20000 + zlib.crc32(b"videoapp") % 10000
NAMESPACE = "mec"

# Testinfra's own connection to a pod runs kubectl from the path.
os.environ["PATH"] = f"{RELEASE / 'bin'}:{os.environ['PATH']}"


def connect(name: str) -> Host:
    """A host of the testbed, over SSH."""
    return testinfra.get_host(f"ssh://{name}?ssh_config={STATE}/ssh/config&controlpersist=60")


def kubectl(*arguments: str) -> str:
    """What kubectl prints to the administrator."""
    return str(
        testinfra.get_host("local://").check_output(
            " ".join(("kubectl", f"--kubeconfig={KUBECONFIG}", *arguments))
        )
    ).strip()


def get(*arguments: str) -> Any:
    """Objects of the cluster."""
    return json.loads(kubectl("get", *arguments, "--output=json"))


def may(account: str, *what: str) -> bool:
    """Whether an ME host may do something."""
    user = f"--as=system:serviceaccount:{NAMESPACE}:me-host-{account}"
    asked = testinfra.get_host("local://").run(
        " ".join(("kubectl", f"--kubeconfig={KUBECONFIG}", "auth", "can-i", user, *what))
    )
    return bool(asked.stdout.strip() == "yes")


@pytest.fixture(params=ME_HOSTS)
def me_host(request: pytest.FixtureRequest) -> Host:
    return connect(request.param)


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    """The one pod of videoapp."""
    (found,) = get("pods", f"--namespace={NAMESPACE}", "-l", "app.kubernetes.io/name=videoapp")[
        "items"
    ]
    return dict(found)


@pytest.fixture(scope="module")
def instance(pod: dict[str, Any]) -> Host:
    """The container of videoapp, as kubectl reaches it."""
    return testinfra.get_host(
        f"kubectl://{pod['metadata']['name']}?namespace={NAMESPACE}&container=app"
        f"&kubeconfig={KUBECONFIG}"
    )


def test_every_node_is_ready_with_the_release() -> None:
    version = json.loads((RELEASE / "release.json").read_text())["version"]
    nodes = get("nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == NODES
    for node in nodes:
        ready = [c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"]
        assert ready == ["True"]
        assert node["status"]["nodeInfo"]["kubeletVersion"] == version
        assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("docker://")


@pytest.mark.parametrize("name", NODES)
def test_no_unit_of_a_node_has_failed(name: str) -> None:
    node = connect(name)
    assert node.check_output("systemctl --failed --no-legend --plain") == ""
    assert node.service("kubelet").is_enabled
    assert node.service("kubelet").is_running


def test_the_api_asks_who_it_is_and_what_they_may() -> None:
    (server,) = get("pods", "--namespace=kube-system", "-l", "component=kube-apiserver")["items"]
    options = set(server["spec"]["containers"][0]["command"])
    assert "--authorization-mode=Node,RBAC" in options
    assert "--insecure-port=0" in options
    assert not any(option.startswith("--token-auth-file") for option in options)
    assert any(option.startswith("--enable-admission-plugins=NodeRestr") for option in options)


@pytest.mark.parametrize("name", NODES)
def test_a_kubelet_tells_strangers_nothing(name: str) -> None:
    asked = connect("repository").run(
        "curl --silent --insecure --output /dev/null --write-out '%%{http_code}' "
        "https://%s:10250/pods",
        name,
    )
    assert asked.stdout == "401"
    assert connect("repository").run("curl --max-time 2 http://%s:10255/pods", name).rc != 0


@pytest.mark.parametrize("name", ME_HOSTS)
def test_an_me_host_may_do_what_a_relocation_needs_and_no_more(name: str) -> None:
    other = next(host for host in ME_HOSTS if host != name)
    here = f"--namespace={NAMESPACE}"
    assert may(name, "patch", "deployments.apps", here)
    assert may(name, "watch", "pods", here)
    assert may(name, "patch", f"nodes/{name}")
    assert not may(name, "patch", f"nodes/{other}")
    assert not may(name, "get", "secrets", here)
    assert not may(name, "create", "pods", here)
    assert not may(name, "create", "deployments.apps", here)
    assert not may(name, "get", "pods", "--namespace=kube-system")


def test_access_is_for_its_owner_alone(me_host: Host) -> None:
    assert me_host.file("/etc/mec-relocation/kubeconfig").mode == 0o600
    assert stat.S_IMODE(KUBECONFIG.stat().st_mode) == 0o600


def test_the_token_of_a_join_is_forgotten(me_host: Host) -> None:
    assert not me_host.file("/etc/kubernetes/kubeadm.yaml").exists


def test_an_app_runs_where_its_gate_is_open_and_its_node_is_labelled(
    pod: dict[str, Any],
) -> None:
    serving = pod["spec"]["nodeName"]
    for name in ME_HOSTS:
        labels = get("node", name)["metadata"]["labels"]
        assert (labels.get("relocation.mec/videoapp") == "allowed") == (name == serving)
        gate = connect(name).mount_point("/run/mec-relocation/pv/videoapp")
        assert gate.exists == (name == serving)


def test_readiness_tells_the_truth(pod: dict[str, Any]) -> None:
    endpoints = get("endpoints", "videoapp", f"--namespace={NAMESPACE}")
    addresses = [
        address["ip"] for subset in endpoints["subsets"] for address in subset["addresses"]
    ]
    assert addresses == [pod["status"]["podIP"]]


def test_an_instance_has_its_pv_and_no_rights(instance: Host) -> None:
    assert instance.mount_point("/data").exists
    assert instance.check_output("id --user") == "10231"
    capabilities = instance.file("/proc/1/status").content_string
    assert "CapEff:\t0000000000000000" in capabilities
    assert "NoNewPrivs:\t1" in capabilities
    assert not instance.file("/var/run/secrets/kubernetes.io").exists


def test_a_pod_reaches_services_and_no_me_host(instance: Host, pod: dict[str, Any]) -> None:
    connecting = (
        "python3 -c 'import socket, sys; "
        "print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).getpeername()[1])' "
    )
    # The API, by its service: kube-proxy.
    assert instance.check_output(f"{connecting} 10.96.0.1 443") == "443"
    # Its host's gateway, as UEs do.
    assert instance.check_output(f"{connecting} 10.99.0.1 443") == "443"
    for name in ME_HOSTS:
        for port in (22, PORT):
            tried = instance.run(f"{connecting} {BACKBONE[name]} {port}")
            assert (name, port, tried.rc != 0) == (name, port, True)
    gateway = connect(pod["spec"]["nodeName"]).check_output("ip -4 -brief address show cni0")
    assert instance.run(f"{connecting} {gateway.split()[2].partition('/')[0]} 22").rc != 0


def test_an_instance_is_reached_by_me_hosts_alone(pod: dict[str, Any]) -> None:
    status = "curl --silent --max-time 2 --output /dev/null --write-out '%%{http_code}' %s"
    nodes = (*ME_HOSTS, "master")
    for place, names in (
        (f"{BACKBONE[pod['spec']['nodeName']]}:{PORT}", (*nodes, "repository")),
        # Others have no route to pods: they would ask somebody outside of the testbed.
        (f"{pod['status']['podIP']}:8080", nodes),
    ):
        for name in names:
            told = connect(name).run(status, f"http://{place}/healthz").stdout
            expected = "200" if name in ME_HOSTS else "000"
            assert (place, name, told) == (place, name, expected)


def test_no_route_of_a_ue_leads_past_the_gateway(pod: dict[str, Any]) -> None:
    ue = connect("ue1")
    gateway = ue.check_output("ip route get 10.99.0.1").split("via ")[1].split()[0]
    address = BACKBONE[pod["spec"]["nodeName"]]
    places = {address: PORT, pod["status"]["podIP"]: 8080}
    try:
        for way, port in places.items():
            ue.check_output(f"ip route replace {way} via {gateway}")
            tried = ue.run(f"curl --max-time 2 http://{way}:{port}/healthz")
            assert "timed out" in tried.stderr
    finally:
        for way in places:
            ue.run(f"ip route delete {way}")


def test_nobody_activates_an_instance_without_its_token(pod: dict[str, Any]) -> None:
    place = f"{BACKBONE[pod['spec']['nodeName']]}:{PORT}"
    told = connect(pod["spec"]["nodeName"]).check_output(
        "curl --silent --output /dev/null --write-out '%%{http_code}' --request POST %s",
        f"http://{place}/-/activate",
    )
    assert told == "403"


def test_a_pod_is_reached_from_the_other_worker_by_its_own_address(pod: dict[str, Any]) -> None:
    other = next(host for host in ME_HOSTS if host != pod["spec"]["nodeName"])
    health = f"http://{pod['status']['podIP']}:8080/healthz"
    status = "curl --silent --max-time 5 --output /dev/null --write-out '%%{http_code}' %s"
    assert connect(other).check_output(status, health) == "200"


@pytest.mark.parametrize("name", NODES)
def test_pods_go_before_what_the_node_does_for_itself(name: str) -> None:
    show = "systemctl show --value --property CPUWeight"
    assert connect(name).check_output(f"{show} system.slice") == "10"


def test_rlapp_is_a_pod_of_the_manager_with_no_rights() -> None:
    (found,) = get("pods", f"--namespace={NAMESPACE}", "-l", "app.kubernetes.io/name=rlapp")[
        "items"
    ]
    assert found["spec"]["nodeName"] == "master"
    (status,) = found["status"]["containerStatuses"]
    assert (status["ready"], status["restartCount"]) == (True, 0)
    context = found["spec"]["containers"][0]["securityContext"]
    assert (context["runAsNonRoot"], context["readOnlyRootFilesystem"]) == (True, True)
    assert found["spec"]["automountServiceAccountToken"] is False


def test_a_ue_reaches_rlapp_through_its_gateway() -> None:
    answer = connect("ue1").check_output("curl --silent --fail https://rlapp.mec.test/healthz")
    assert json.loads(answer) == {"status": "ok"}
