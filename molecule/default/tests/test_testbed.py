"""The testbed from outside: what each host offers, and what it refuses."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

STATE = Path(os.environ.get("MEC_STATE") or Path(__file__).parents[3] / ".mec")
HOSTS = ["master", "worker1", "worker2", "repository", "ue1"]
ME_HOSTS = ["worker1", "worker2"]
BACKBONE = {
    "master": "10.77.0.10",
    "worker1": "10.77.0.11",
    "worker2": "10.77.0.12",
    "repository": "10.77.0.20",
}
# Where ME hosts publish videoapp, by its name.
PORT = 20000 + zlib.crc32(b"videoapp") % 10000
REPOSITORY = "https://repository.mec.test:5000/v2/"


def connect(name: str) -> Host:
    """A host of the testbed, over SSH."""
    return testinfra.get_host(f"ssh://{name}?ssh_config={STATE}/ssh/config&controlpersist=60")


def attach(ue: Host, *arguments: str) -> dict[str, Any]:
    """What mec-ue-attach answers."""
    answer: dict[str, Any] = json.loads(
        ue.check_output(" ".join(("/usr/local/sbin/mec-ue-attach", *arguments)))
    )
    return answer


@pytest.fixture(params=HOSTS)
def any_host(request: pytest.FixtureRequest) -> Host:
    return connect(request.param)


@pytest.fixture(params=ME_HOSTS)
def me_host(request: pytest.FixtureRequest) -> Host:
    return connect(request.param)


@pytest.fixture
def ue() -> Host:
    return connect("ue1")


@pytest.fixture
def serving() -> str:
    """The ME host on which videoapp serves."""
    found = [
        name
        for name in ME_HOSTS
        if connect(name).check_output("docker ps --quiet --filter name=videoapp-")
    ]
    assert len(found) == 1
    return found[0]


def status(host: Host, url: str, *options: str) -> str:
    """What a host is answered; 000 where nothing is."""
    told = host.run(
        "curl --silent --max-time 2 --output /dev/null --write-out '%%{http_code}' %s %s",
        " ".join(options) or "--get",
        url,
    )
    return told.stdout


def inspected(host: Host) -> dict[str, Any]:
    """The container of videoapp."""
    name = host.check_output("docker ps --quiet --filter name=videoapp-")
    found: dict[str, Any] = json.loads(host.check_output("docker inspect %s", name))[0]
    return found


def test_no_unit_of_a_host_has_failed(any_host: Host) -> None:
    assert any_host.check_output("systemctl --failed --no-legend --plain") == ""


def test_ssh_takes_keys_only(any_host: Host) -> None:
    settings = any_host.check_output("/usr/sbin/sshd -T").splitlines()
    assert "passwordauthentication no" in settings
    assert "kbdinteractiveauthentication no" in settings
    assert "permitrootlogin without-password" in settings
    refused = any_host.run(
        "ssh -o PubkeyAuthentication=no -o StrictHostKeyChecking=no -o BatchMode=yes "
        "-o UserKnownHostsFile=/dev/null root@127.0.0.1 true || exit 1"
    )
    assert refused.rc == 1
    assert "Permission denied (publickey)" in refused.stderr


def test_sshd_ends_what_a_host_without_power_has_begun(any_host: Host) -> None:
    # Such a host closes nothing.
    settings = dict(
        line.split(" ", 1) for line in any_host.check_output("/usr/sbin/sshd -T").splitlines()
    )
    interval_s, count = int(settings["clientaliveinterval"]), int(settings["clientalivecountmax"])
    assert 0 < interval_s * count <= 20


@pytest.mark.parametrize("name", BACKBONE)
def test_hosts_know_each_other_on_the_backbone(name: str) -> None:
    host = connect(name)
    for peer, address in BACKBONE.items():
        assert address in host.addr(peer).ipv4_addresses
        assert address in host.addr(f"{peer}.mec.test").ipv4_addresses


def test_names_outlive_the_engine_that_runs_the_hosts(any_host: Host) -> None:
    for file in ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname"):
        assert not any_host.mount_point(file).exists


def test_the_repository_asks_for_a_login(me_host: Host) -> None:
    status = "curl --silent --output /dev/null --write-out '%{http_code}' "
    assert me_host.check_output(f"{status} {REPOSITORY}") == "401"
    assert me_host.check_output(f"{status} --user mec:wrong {REPOSITORY}") == "401"
    assert me_host.run(f"curl --silent {REPOSITORY.replace('https', 'http')}").stdout.startswith(
        "Client sent an HTTP request to an HTTPS server"
    )


def test_an_me_host_signs_in_to_the_repository(me_host: Host) -> None:
    login = json.loads(me_host.file("/etc/mec-relocation/repository.json").content_string)
    catalogue = me_host.check_output(
        "curl --silent --fail --user %s %s",
        f"{login['username']}:{login['password']}",
        f"{REPOSITORY}_catalog",
    )
    assert "videoapp" in json.loads(catalogue)["repositories"]


def test_the_password_is_kept_as_a_bcrypt_hash() -> None:
    file = connect("repository").file("/etc/docker/registry/htpasswd")
    assert file.content_string.startswith("mec:$2")
    assert file.mode == 0o640


def test_an_engine_runs_inside_an_me_host(me_host: Host) -> None:
    assert me_host.service("docker").is_enabled
    assert me_host.check_output("docker info --format '{{.Driver}}'") == "overlay2"


def test_secrets_are_for_their_owner_alone(me_host: Host) -> None:
    for name in ("repository.json", "agent_key", "rsync_key"):
        assert me_host.file(f"/etc/mec-relocation/{name}").mode == 0o600


def test_the_library_is_loaded_and_for_root_alone(me_host: Host) -> None:
    assert me_host.service("mec-relocation.service").is_running
    assert me_host.service("mec-relocation.socket").is_enabled
    assert me_host.file("/run/mec-relocation/server.sock").mode == 0o600


def test_what_serves_goes_before_relocations(me_host: Host) -> None:
    show = "systemctl show --value --property"
    assert me_host.check_output(f"{show} CPUWeight mec.slice") == "2000"
    gateway = me_host.check_output(f"{show} Slice,CPUWeight haproxy.service")
    assert set(gateway.split()) == {"mec.slice", "1000"}


def test_nobody_is_refused_while_the_gateway_restarts(me_host: Host) -> None:
    assert me_host.service("haproxy.socket").is_enabled
    assert me_host.file("/run/haproxy-master.sock").mode == 0o600
    me_host.check_output("systemctl stop haproxy.service")
    # Whoever comes starts it.
    listen = me_host.check_output("systemctl show --value --property Listen haproxy.socket")
    curl = "curl --insecure --silent --output /dev/null --write-out '%%{http_code}' https://%s/"
    assert me_host.check_output(curl, listen.split()[0]) == "503"
    assert me_host.service("haproxy.service").is_running


def test_apps_run_in_the_group_that_goes_first() -> None:
    groups = []
    for host in map(connect, ("worker1", "worker2")):
        for app in host.check_output("docker ps --quiet").split():
            process = host.check_output("docker inspect --format '{{.State.Pid}}' %s", app)
            groups.append(host.file(f"/proc/{process}/cgroup").content_string)
    assert groups
    assert all("/mec.slice/docker-" in group for group in groups)


def test_a_ue_does_not_reach_the_backbone(ue: Host) -> None:
    for address in BACKBONE.values():
        assert ue.run(f"ping -c 1 -W 1 {address}").rc != 0
        assert ue.run(f"curl --max-time 2 http://{address}:22").rc != 0


def test_an_instance_is_reached_by_me_hosts_alone(serving: str) -> None:
    health = f"http://{BACKBONE[serving]}:{PORT}/healthz"
    for name in BACKBONE:
        expected = "200" if name in ME_HOSTS else "000"
        assert (name, status(connect(name), health)) == (name, expected)


def test_me_hosts_do_not_activate_an_instance_without_its_token(serving: str) -> None:
    activation = f"http://{BACKBONE[serving]}:{PORT}/-/activate"
    for name in ME_HOSTS:
        assert status(connect(name), activation, "-XPOST") == "403"


def test_the_token_of_an_instance_is_kept_with_it_alone(serving: str) -> None:
    host = connect(serving)
    variables = dict(entry.split("=", 1) for entry in inspected(host)["Config"]["Env"])
    token = variables["MEC_ACTIVATION_TOKEN"]
    assert len(token) >= 43
    for command in (
        "grep --recursive --fixed-strings --quiet -- %s /var/lib/mec-relocation",
        "journalctl --no-pager | grep --fixed-strings --quiet -- %s",
    ):
        assert host.run(command, token).rc == 1


@pytest.fixture
def routed(ue: Host) -> Iterator[Host]:
    """A UE that has routes to the backbone and to instances, through the gateway of its cell."""
    gateway = ue.check_output("ip route get 10.99.0.1").split("via ")[1].split()[0]
    ways = [*BACKBONE.values(), "172.17.0.0/16"]
    for way in ways:
        ue.check_output(f"ip route replace {way} via {gateway}")
    yield ue
    for way in ways:
        ue.check_output(f"ip route delete {way}")


def test_no_route_of_a_ue_leads_past_the_gateway(routed: Host, serving: str) -> None:
    gateway = routed.check_output("ip route get 10.99.0.1").split("via ")[1].split()[0]
    address = inspected(connect(serving))["NetworkSettings"]["IPAddress"]
    for place in (
        *(f"{BACKBONE[name]}:{port}" for name in ME_HOSTS for port in (22, PORT)),
        f"{BACKBONE['master']}:22",
        f"{gateway}:22",
        f"{gateway}:{PORT}",
        f"{address}:8080",
    ):
        tried = routed.run(f"curl --max-time 1 http://{place}/healthz")
        assert (place, tried.stdout, "timed out" in tried.stderr) == (place, "", True)
    assert status(routed, "https://videoapp.mec.test/healthz") == "200"
    assert routed.run(f"ping -c 1 -W 1 {gateway}").rc == 0


def test_a_ue_reaches_nothing_of_its_me_host_by_ipv6(ue: Host) -> None:
    cell = attach(ue, "--status")["cell"]
    device = interface(ue, cell)
    neighbour = connect({"cell1": "worker1", "cell2": "worker2"}[cell])
    gateway = ue.check_output("ip route get 10.99.0.1").split("via ")[1].split()[0]
    name = neighbour.check_output(f"ip -brief address show to {gateway}").split()[0].split("@")[0]
    shown = neighbour.check_output(f"ip -6 -brief address show dev {name} scope link").split()
    if not shown:
        pytest.skip("the cells have no IPv6")
    address = shown[2].partition("/")[0]
    assert ue.run(f"ping -c 1 -W 1 {address}%{device}").rc == 0
    command = f"curl --globoff --max-time 2 'http://[{address}%25{device}]:22'"
    assert "timed out" in ue.run(command).stderr


def test_an_instance_reaches_others_through_the_gateway_alone(serving: str) -> None:
    host = connect(serving)
    other = next(name for name in ME_HOSTS if name != serving)
    app = inspected(host)
    connecting = (
        "docker run --rm --entrypoint python3 %s -c 'import socket, sys; "
        "print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).getpeername()[1])' "
        "%s %s"
    )
    for address, port in (
        (app["NetworkSettings"]["IPAddress"], 8080),
        (app["NetworkSettings"]["Gateway"], 22),
        (BACKBONE[serving], PORT),
        (BACKBONE[serving], 22),
        (BACKBONE[other], PORT),
        (BACKBONE[other], 22),
    ):
        tried = host.run(connecting, app["Image"], address, str(port))
        assert (address, port, tried.rc) == (address, port, 1)
        assert "timed out" in tried.stderr
    assert host.check_output(connecting, app["Image"], "10.99.0.1", "443") == "443"


def test_the_packet_filter_is_there_from_the_boot(me_host: Host) -> None:
    assert me_host.service("mec-packet-filter").is_enabled
    assert me_host.service("mec-packet-filter").is_running
    before = me_host.check_output("nft list table inet mec_relocation")
    me_host.check_output("systemctl restart mec-packet-filter")
    assert me_host.check_output("nft list table inet mec_relocation") == before


def test_every_app_is_at_the_service_address(ue: Host) -> None:
    for name in ("videoapp.mec.test", "any-other.mec.test"):
        assert ue.addr(name).ipv4_addresses == ["10.99.0.1"]
    assert not ue.addr("videoapp.mec.invalid").is_resolvable


def test_a_ue_changes_address_and_route_with_its_cell(ue: Host) -> None:
    cells = {"cell1": "192.168.0.", "cell2": "192.168.100."}
    began = attach(ue, "--status")["cell"]
    other = next(cell for cell in cells if cell != began)
    try:
        moved = attach(ue, other)
        assert (moved["cell"], moved["changed"], moved["previous"]) == (other, True, began)
        assert moved["address"] == f"{cells[other]}101"
        route = ue.check_output("ip route get 10.99.0.1").splitlines()[0]
        assert f"via {cells[other]}11 " in route
        assert f"src {cells[other]}101 " in route
        assert cells[began] not in ue.check_output("ip -4 address show")
        assert ue.run(f"ping -c 1 -W 1 {cells[other]}11").rc == 0
        assert attach(ue, other)["changed"] is False
    finally:
        attach(ue, began)


def test_a_ue_says_no_to_a_cell_that_does_not_exist(ue: Host) -> None:
    before = attach(ue, "--status")
    refused = ue.run("/usr/local/sbin/mec-ue-attach no-such-cell")
    assert refused.rc == 2
    assert "unknown cell 'no-such-cell'" in refused.stderr
    assert "cell1, cell2" in refused.stderr
    assert attach(ue, "--status") == before


def test_a_ue_comes_back_to_its_cell_after_a_restart(ue: Host) -> None:
    began = attach(ue, "--status")["cell"]
    # What a restart of the host brings: every interface has its address again.
    ue.check_output("ip address replace 192.168.0.101/24 dev %s", interface(ue, "cell1"))
    ue.check_output("ip address replace 192.168.100.101/24 dev %s", interface(ue, "cell2"))
    ue.check_output("systemctl restart mec-ue-attach")
    assert attach(ue, "--status")["cell"] == began
    addresses = ue.check_output("ip -4 -brief address show")
    assert ("192.168.0.101" in addresses) != ("192.168.100.101" in addresses)


def interface(ue: Host, cell: str) -> str:
    """The UE's interface in a cell."""
    found = json.loads(ue.file("/run/mec-ue/interfaces.json").content_string)
    return str(found[cell][0])


def test_a_browser_runs_as_nobody_special(ue: Host) -> None:
    ue.check_output("systemctl start ue-browser")
    try:
        version = ue.check_output(
            "curl --silent --retry 20 --retry-connrefused --retry-delay 1 "
            "http://127.0.0.1:9222/json/version"
        )
        assert "Chrome/" in json.loads(version)["Browser"]
        browser = ue.process.filter(user="ue")
        assert browser
        assert not any("--no-sandbox" in process.args for process in browser)
        assert {
            socket for socket in ue.socket.get_listening_sockets() if socket.endswith(":9222")
        } == {"tcp://127.0.0.1:9222"}
    finally:
        ue.check_output("systemctl stop ue-browser")


def test_rlapp_answers_over_tls_and_tells_strangers_nothing(ue: Host) -> None:
    url = "https://rlapp.mec.test"
    assert json.loads(ue.check_output(f"curl --silent {url}/healthz")) == {"status": "ok"}
    status = "curl --silent --output /dev/null --write-out '%{http_code}'"
    assert ue.check_output(f"{status} {url}/api/state") == "401"
    assert ue.check_output(f"{status} {url}/location/v2/queries/zones") == "401"


def test_rlapp_may_do_little_on_its_host() -> None:
    master = connect("master")
    inspected = json.loads(master.check_output("docker inspect rlapp"))[0]
    assert inspected["State"]["Running"]
    assert inspected["Config"]["User"] == "rlapp"
    settings = inspected["HostConfig"]
    assert (settings["Privileged"], settings["ReadonlyRootfs"]) == (False, True)
    assert settings["CapDrop"] == ["ALL"]
    assert settings["SecurityOpt"] == ["no-new-privileges:true"]
    writable = {mount["Destination"] for mount in inspected["Mounts"] if mount["RW"]}
    assert writable == {"/var/lib/rlapp"}


@pytest.mark.parametrize(
    "file",
    ["rlapp.yml", "variables.yml", "password", "token", "ue1_token", "tls.key", "ssh/id_ed25519"],
)
def test_nobody_but_rlapp_reads_its_secrets(file: str) -> None:
    found = connect("master").file(f"/etc/rlapp/{file}")
    assert (found.uid, found.mode) == (10232, 0o600)


@pytest.mark.parametrize("name", [*ME_HOSTS, "ue1"])
def test_the_key_of_rlapp_is_good_from_its_host_alone(name: str) -> None:
    keys = connect(name).file("/root/.ssh/authorized_keys").content_string.splitlines()
    (line,) = (line for line in keys if line.endswith("RLapp of master"))
    assert line.startswith('restrict,from="10.77.0.10,10.77.1.0/24" ssh-ed25519 ')


def test_what_drives_is_nobody_special(ue: Host) -> None:
    assert ue.service("mec-ue-drive").is_running
    (process,) = ue.process.filter(user="mec-ue")
    assert "mec_ue.drive" in process.args
    assert ue.file("/etc/mec-ue/token").mode == 0o600
