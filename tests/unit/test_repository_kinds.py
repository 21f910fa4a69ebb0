"""The role repository with GitLab, and the role images with a repository of either kind.

GitLab itself is not here. What stands in for it follows its REST API for the few requests that the
role makes, and refuses every other one; gitlab-ctl and gitlab-rails are stand-ins, too. The role is
the real one, run by ansible-playbook on this machine, and so are Ruby, skopeo and the registries.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import bcrypt
import pytest
import yaml
from ansible_collections.mec.relocation.plugins.module_utils.image.registry import (
    Credentials,
    ImageReference,
    Registry,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.image.https import (
    certificate,
    serve,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.image.tokens import (
    PASSWORD,
    PUSH,
    USER,
    registry,
    token_registry,
)

PROJECT = Path(__file__).parents[2]
SETTINGS = {
    "signup_enabled": True,
    "gravatar_enabled": True,
    "usage_ping_enabled": True,
    "version_check_enabled": True,
    "default_branch_name": "main",
}

GITLAB_RAILS = """#!/usr/bin/env ruby
# Stands in for GitLab's: knows of a user what the role's script uses, and keeps the token it makes.
require 'json'
abort unless ARGV == ['runner', '-']
class Integer; def days = self; def from_now = self; end
Token = Struct.new(:name, :scopes, :expires_at, :revoked, keyword_init: true) do
  def assign_attributes(values) = values.each { |name, value| self[name] = value }
  def set_token(value) = @value = value
  def save! = File.write(ENV.fetch('FAKE_API_TOKEN'), JSON.generate(to_h.merge(value: @value)))
end
class Tokens
  def find_or_initialize_by(name:) = Token.new(name: name)
end
class User
  def self.find_by!(username:) = username == 'root' ? new : abort
  def personal_access_tokens = Tokens.new
end
eval($stdin.read)
"""
GITLAB_CTL = """#!/bin/sh
echo "$@" >>"$FAKE_CALLS"
[ "$1" != reconfigure ] || touch "$FAKE_BOOTSTRAPPED"
"""
# Reads gitlab.rb as GitLab does, into one object.
READ_CONFIG = """
require 'json'
class Config
  def initialize = @found = {}
  def method_missing(name, *values)
    return @found[name] = values.first unless values.empty?
    @found[name] ||= {}
  end
end
config = Config.new
config.instance_eval(File.read(ARGV[0]))
puts JSON.generate(config.instance_variable_get(:@found))
"""


@dataclass
class GitLab:
    """What GitLab holds, and what was asked of it."""

    folder: Path
    port: int = 0
    settings: dict[str, Any] = field(default_factory=lambda: dict(SETTINGS))
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[int, dict[str, Any]] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    @property
    def api_token(self) -> dict[str, Any]:
        path = self.folder / "api_token.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def calls(self) -> list[str]:
        """What gitlab-ctl was asked to do since the last time."""
        path = self.folder / "calls"
        found = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return found

    def write(self, name: str, body: Any) -> tuple[int, Any]:
        """A request that changes something: its answer."""
        self.written.append(name)
        match name.split("/"):
            case ["PUT application", "settings"]:
                assert set(body) <= set(self.settings)
                self.settings |= body
                return 200, self.settings
            case ["POST groups"]:
                assert body == {"name": body["path"], "path": body["path"], "visibility": "private"}
                self.groups[body["path"]] = {"id": 7, "full_path": body["path"]}
                return 201, self.groups[body["path"]]
            case ["POST projects"]:
                [group] = [g for g in self.groups.values() if g["id"] == body["namespace_id"]]
                assert body["visibility"] == "private"
                assert body["container_registry_access_level"] == "enabled"
                path = f"{group['full_path']}/{body['path']}"
                self.projects[path] = {"id": 8, "path_with_namespace": path}
                return 201, self.projects[path]
            case ["POST projects", project, "deploy_tokens"] if unquote(project) in self.projects:
                assert set(body) == {"name", "username", "scopes"}
                number = len(self.written)
                self.tokens[number] = {**body, "id": number, "revoked": False}
                self.tokens[number]["token"] = f"gldt-{number}_-x"
                return 201, self.tokens[number]
            case ["DELETE projects", project, "deploy_tokens", number] if (
                unquote(project) in self.projects
            ):
                if self.tokens[int(number)]["revoked"]:
                    return 404, {"message": "404 Deploy Token Not Found"}
                self.tokens[int(number)]["revoked"] = True
                return 204, None
        return 404, {"message": "404 Not Found"}

    def read(self, path: str) -> tuple[int, Any]:
        match path.split("/"):
            case ["user"]:
                return 200, {"username": "root", "is_admin": True}
            case ["application", "settings"]:
                return 200, self.settings
            case ["groups", name] if name in self.groups:
                return 200, self.groups[name]
            case ["projects", name] if unquote(name) in self.projects:
                return 200, self.projects[unquote(name)]
            case ["projects", name, "deploy_tokens"] if unquote(name) in self.projects:
                shown = [{k: v for k, v in t.items() if k != "token"} for t in self.tokens.values()]
                return 200, shown
        return 404, {"message": "404 Not Found"}

    def signs_in(self, query: dict[str, list[str]], login: str) -> bool:
        assert query["service"] == ["container_registry"]
        [scope] = query["scope"]
        kind, path, actions = scope.split(":")
        assert (kind, actions) == ("repository", "pull,push")
        logins = [
            base64.b64encode(f"{token['username']}:{token['token']}".encode()).decode()
            for token in self.tokens.values()
            if path in self.projects
            and not token["revoked"]
            and {"read_registry", "write_registry"} <= set(token["scopes"])
        ]
        return login in {f"Basic {found}" for found in logins}


class Handler(http.server.BaseHTTPRequestHandler):
    gitlab: GitLab

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/jwt/auth":
            assert "PRIVATE-TOKEN" not in self.headers
            query, login = parse_qs(url.query), self.headers.get("Authorization", "")
            found = self.gitlab.signs_in(query, login)
            return self.answer(*((200, {"token": "x.y.z"}) if found else (401, {"errors": []})))
        if self.headers["PRIVATE-TOKEN"] != self.gitlab.api_token.get("value"):
            return self.answer(401, {"message": "401 Unauthorized"})
        assert url.path.startswith("/api/v4/")
        assert not url.query
        path = url.path.removeprefix("/api/v4/")
        if self.command == "GET":
            return self.answer(*self.gitlab.read(path))
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        return self.answer(*self.gitlab.write(f"{self.command} {path}", body))

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def answer(self, status: int, body: Any) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def executable(path: Path, content: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)


def pki(folder: Path) -> tuple[Path, Path]:
    """The repository's certificate and key, where the role pki has them."""
    (folder / "state/pki").mkdir(parents=True)
    return certificate(folder / "state/pki", "repository")


@contextlib.contextmanager
def fake_gitlab(folder: Path) -> Iterator[GitLab]:
    found = GitLab(folder)
    executable(folder / "bin/gitlab-rails", GITLAB_RAILS)
    executable(folder / "bin/gitlab-ctl", GITLAB_CTL)
    handler = type("BoundHandler", (Handler,), {"gitlab": found})
    with serve(handler, *pki(folder)) as found.port:
        yield found


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[GitLab]:
    with fake_gitlab(tmp_path) as found:
        yield found


def play(folder: Path, tasks: list[dict[str, Any]], *options: str, **variables: Any) -> str:
    """Run tasks on this machine; returns what ansible-playbook printed."""
    book = [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]
    (folder / "play.yml").write_text(yaml.safe_dump(book))
    (folder / "variables.json").write_text(json.dumps(common(folder) | variables))
    ran = subprocess.run(
        [
            *("ansible-playbook", "-i", "localhost,", "-c", "local"),
            *("-e", f"@{folder / 'variables.json'}", *options, folder / "play.yml"),
        ],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "FAKE_CALLS": str(folder / "calls"),
            "FAKE_API_TOKEN": str(folder / "api_token.json"),
            "FAKE_BOOTSTRAPPED": str(folder / "bootstrapped"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ran.stdout


def common(folder: Path) -> dict[str, Any]:
    """The inventory's part, and folders of the test in place of the system's."""
    state = folder / "state"
    secrets = state / "secrets"
    return {
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "mec_state_dir": str(state),
        "mec_ca_certificate": str(state / "pki/repository.crt"),
        "mec_repository": "localhost:5000",
        "mec_repository_user": USER,
        "mec_repository_password": (
            "{{ lookup('ansible.builtin.password', '"
            + str(secrets / "repository_password")
            + "') }}"
        ),
        "_repository_gitlab_dir": str(folder / "gitlab"),
        "_repository_gitlab_ruby": "ruby",
        "_repository_gitlab_bootstrapped": str(folder / "bootstrapped"),
        "_repository_gitlab_retries": 1,
    }


def role(name: str, tasks: str, **variables: Any) -> dict[str, Any]:
    return {
        "ansible.builtin.include_role": {"name": name, "tasks_from": tasks},
        "vars": variables,
    }


def configure(
    gitlab: GitLab, *options: str, tasks: str = "gitlab/configure.yml", **variables: Any
) -> str:
    url = f"https://localhost:{gitlab.port}"
    return play(
        gitlab.folder,
        [role("repository", tasks)],
        *options,
        **{"repository_gitlab_url": url, **variables},
    )


def ask(gitlab: GitLab, *options: str, **variables: Any) -> str:
    """The part of it that uses the API."""
    return configure(gitlab, *options, tasks="gitlab/project.yml", **variables)


def trust(gitlab: GitLab, ca: Path) -> None:
    """The CA, where that part looks for it."""
    (gitlab.folder / "gitlab/ssl").mkdir(parents=True)
    (gitlab.folder / "gitlab/ssl/ca.crt").write_bytes(ca.read_bytes())


def changed(output: str) -> int:
    found = re.search(r"changed=(\d+) .* failed=0 ", output)
    assert found, output
    return int(found[1])


def secret(gitlab: GitLab, name: str) -> str:
    path = gitlab.folder / "state/secrets" / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text().strip()


# Read by Ruby and by Jinja, it is neither a program nor a template.
HOSTILE = "it's \\ #{exit 1} \" {{ 1 }} %"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GitLab, str]]:
    """GitLab after the role's first run, and what that run printed."""
    with fake_gitlab(tmp_path_factory.mktemp("made")) as found:
        secrets = found.folder / "state/secrets"
        secrets.mkdir(mode=0o700)
        (secrets / "gitlab_root_password").write_text(HOSTILE)
        assert changed(configure(found, "--check")) > 0
        assert not found.written
        assert not found.calls()
        yield found, configure(found, "--diff", "-vvv")


def test_a_project_and_a_deploy_token_are_made(made: tuple[GitLab, str]) -> None:
    gitlab, output = made
    assert changed(output) > 0
    assert gitlab.api_token["scopes"] == ["api"]
    assert gitlab.api_token["expires_at"] <= 365
    assert gitlab.written[:4] == [
        "PUT application/settings",
        "POST groups",
        "POST projects",
        "POST projects/mec%2Fapps/deploy_tokens",
    ]
    assert set(gitlab.projects) == {"mec/apps"}
    assert gitlab.settings == dict.fromkeys(SETTINGS, False) | {"default_branch_name": "main"}
    [token] = gitlab.tokens.values()
    assert token["username"] == USER
    assert set(token["scopes"]) == {"read_registry", "write_registry"}


def test_secrets_are_kept_and_not_shown(made: tuple[GitLab, str]) -> None:
    gitlab, output = made
    [token] = gitlab.tokens.values()
    assert secret(gitlab, "repository_password") == token["token"]
    for name in ("repository_password", "gitlab_api_token"):
        assert secret(gitlab, name) not in output
    assert "exit 1" not in output


def test_the_configuration_is_what_gitlab_reads(made: tuple[GitLab, str]) -> None:
    gitlab, _ = made
    path = gitlab.folder / "gitlab/gitlab.rb"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    subprocess.run(["ruby", "-wc", path], check=True, stdout=subprocess.DEVNULL)
    read = subprocess.run(
        ["ruby", "-e", READ_CONFIG, path], check=True, capture_output=True, text=True
    )
    config = json.loads(read.stdout)
    assert config["external_url"] == f"https://localhost:{gitlab.port}"
    assert config["registry_external_url"] == "https://localhost:5000"
    for server in ("nginx", "registry_nginx"):
        for kind, name in (("ssl_certificate", "crt"), ("ssl_certificate_key", "key")):
            file = Path(config[server][kind])
            assert (
                file.read_bytes() == (gitlab.folder / f"state/pki/repository.{name}").read_bytes()
            )
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    rails = config["gitlab_rails"]
    assert rails["registry_api_url"] == "http://" + config["registry"]["registry_http_addr"]
    assert rails["initial_root_password"] == HOSTILE
    assert rails["usage_ping_enabled"] is rails["manage_backup_path"] is False
    assert config["letsencrypt"] == {"enable": False}
    assert config["prometheus_monitoring"] == {"enable": False}


def test_later_runs_make_what_is_missing(made: tuple[GitLab, str]) -> None:
    gitlab, _ = made
    assert gitlab.calls() == ["reconfigure", "hup nginx"]
    gitlab.written.clear()
    assert changed(configure(gitlab)) == 0
    assert not gitlab.written
    assert not gitlab.calls()

    before = secret(gitlab, "repository_password")
    (gitlab.folder / "state/secrets/repository_password").write_text("lost\n")
    gitlab.settings["signup_enabled"] = True
    output = ask(gitlab, "--check")
    assert changed(output) == 1
    assert "settings, deploy token" in output
    assert not gitlab.written

    assert changed(ask(gitlab)) > 0
    assert gitlab.written[0] == "PUT application/settings"
    assert [name.partition(" ")[0] for name in gitlab.written[1:]] == ["DELETE", "POST"]
    [first, second] = gitlab.tokens.values()
    assert (first["token"], first["revoked"], second["revoked"]) == (before, True, False)
    assert secret(gitlab, "repository_password") == second["token"]

    # The token for the API is good for a year; what is behind it cannot be asked meanwhile.
    (gitlab.folder / "api_token.json").unlink()
    output = ask(gitlab, "--check")
    assert changed(output) == 1
    assert "token for the API" in output


def test_a_password_that_the_hosts_look_up_elsewhere(gitlab: GitLab) -> None:
    trust(gitlab, gitlab.folder / "state/pki/repository.crt")
    output = ask(gitlab, repository_password="another")  # noqa: S106
    assert "Let mec_repository_password be looked up in that file" in output
    assert "failed=1" in output


def test_gitlab_of_another_ca_is_told_nothing(gitlab: GitLab) -> None:
    other, _ = certificate(gitlab.folder, "other")
    trust(gitlab, other)
    output = ask(gitlab)
    assert "failed=1" in output
    assert not gitlab.api_token
    assert not gitlab.written


def test_a_configuration_that_was_interrupted_is_begun_again(gitlab: GitLab) -> None:
    executable(gitlab.folder / "bin/gitlab-ctl", "#!/bin/sh\nexit 1\n")
    assert "failed=1" in configure(gitlab)
    assert changed(configure(gitlab, "--check")) == 1


PREFLIGHT = {
    "certificate": (
        {"repository_certificate": "/nowhere/repository.crt"},
        "/nowhere/repository.crt is missing on the controller. The role pki makes it",
    ),
    "architecture": (
        {"_repository_gitlab_architectures": {"vax": "vax"}},
        "GitLab has packages for vax. Use another host",
    ),
    "memory": ({"repository_gitlab_memory_mb": 10**9}, "MB of memory; GitLab needs 4 GB"),
    "version": (
        {"repository_gitlab_version": "11.9.6-ce.0"},
        "GitLab 11.9.6-ce.0 has no package for Debian 12; the oldest that has is 16.1",
    ),
    "project": ({"repository_gitlab_project": "../x"}, "../x is no group/project"),
    "group": ({"repository_gitlab_project": "apps"}, "apps is no group/project"),
    "port": ({"repository_port": 443}, "Port 443 of mec_repository is one that GitLab uses"),
    "package": (
        {"repository_gitlab_source": "directory", "repository_gitlab_directory": "/nowhere"},
        "/nowhere/gitlab-ce_18.5.5-ce.0_",
    ),
    "other": ({"_repository_gitlab_other": "/"}, "docker-registry is enabled on localhost"),
    "good": ({}, "nothing"),
}


def told(name: str) -> list[dict[str, Any]]:
    """Tasks for a rescue: tell why the tasks before failed."""
    message = (
        "{{ ansible_failed_result.results | default([ansible_failed_result])"
        " | map(attribute='msg', default='') | join(' ') }}"
    )
    return [{"ansible.builtin.debug": {"msg": f"{name}: {message}"}}]


def messages(output: str) -> dict[str, str]:
    """What was told, by the name under which it was."""
    found = [json.loads(text) for text in re.findall(r'^ *"msg": (".*")$', output, re.MULTILINE)]
    return dict(text.split(": ", 1) for text in found)


def test_what_gitlab_needs_is_said_before_anything_is_done(tmp_path: Path) -> None:
    pki(tmp_path)
    good = {
        "repository_kind": "gitlab",
        "repository_gitlab_memory_mb": 1,
        "_repository_gitlab_other": "/nowhere",
    }
    tasks = [
        {
            "block": [
                role("repository", "preflight.yml", **(good | variables)),
                {"ansible.builtin.debug": {"msg": f"{name}: nothing"}},
            ],
            "rescue": told(name),
        }
        for name, (variables, _) in PREFLIGHT.items()
    ]
    output = play(tmp_path, tasks)
    found = messages(output)
    for name, (_, message) in PREFLIGHT.items():
        assert message in found.get(name, output)


def test_a_kind_that_is_not_known(tmp_path: Path) -> None:
    pki(tmp_path)
    output = play(tmp_path, [role("repository", "main")], repository_kind="harbor")
    assert "value of repository_kind must be one of: distribution, gitlab, got: harbor" in output
    assert "failed=1" in output


def push(client: Registry, name: str) -> str:
    """Push an image of no layers; returns the digest of its configuration."""
    image, config = ImageReference.parse(name), b'{"rootfs": {"type": "layers", "diff_ids": []}}'
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    client.push_blob(image, digest, io.BytesIO(config))
    media_type = "application/vnd.docker.{}+json"
    client.push_manifest(
        image,
        {
            "schemaVersion": 2,
            "mediaType": media_type.format("distribution.manifest.v2"),
            "config": {
                "mediaType": media_type.format("container.image.v1"),
                "digest": digest,
                "size": len(config),
            },
            "layers": [],
        },
    )
    return digest


def test_images_are_looked_up_with_a_password_and_with_a_token(tmp_path: Path) -> None:
    names = ["mec/apps/a:1", "mec/apps/a:2", "mec/apps/b:1"]
    (tmp_path / "state/secrets").mkdir(parents=True)
    (tmp_path / "basic").mkdir()
    ca, key = certificate(tmp_path / "basic", "repository")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "basic/htpasswd").write_text(f"{USER}:{hashed}\n")
    login = {"htpasswd": {"realm": "test", "path": str(tmp_path / "basic/htpasswd")}}
    with (
        registry(tmp_path / "basic", ca, key, login) as basic,
        token_registry(tmp_path) as tokens,
    ):
        tokens.tokens.allowed = {"mec/apps/a": PUSH, "mec/apps/b": PUSH}
        clients = {
            "basic": Registry(f"https://{basic}", ca, Credentials(USER, PASSWORD)),
            "token": tokens.client(),
        }
        digests = {kind: push(client, names[0]) for kind, client in clients.items()}
        tasks = []
        for kind, client in clients.items():
            for password in (PASSWORD, "wrong"):
                variables = {
                    "images_push_address": client.name,
                    "images_user": USER,
                    "images_password": password,
                    "images_list": [{"name": name} for name in names],
                }
                seen = (
                    "{{ __images_remote.results | map(attribute='rc') | join(' ') }} "
                    "{{ (__images_remote.results[0].stdout | from_json).config.digest }}"
                )
                name = f"{kind}_{'right' if password == PASSWORD else password}"
                tasks.append(
                    {
                        "block": [
                            role("images", "ask.yml", **variables),
                            {"ansible.builtin.debug": {"msg": f"{name}: {seen}"}},
                        ],
                        "rescue": [{"ansible.builtin.debug": {"msg": f"{name}: refused"}}],
                    }
                )
        both = tmp_path / "both.crt"
        both.write_bytes(ca.read_bytes() + tokens.ca.read_bytes())
        output = play(tmp_path, tasks, mec_ca_certificate=str(both))
    assert messages(output) == {
        "basic_right": f"0 1 1 {digests['basic']}",
        "basic_wrong": "refused",
        "token_right": f"0 1 1 {digests['token']}",
        "token_wrong": "refused",
    }
    assert PASSWORD not in output
