"""Users of the instance that serves: videoapp-user add NAME | password NAME | list."""

from __future__ import annotations

import argparse
import secrets
import sys

from .config import ConfigError, read_settings
from .passwords import hash_password
from .store import Store, StoreError, UserError


def run(arguments: list[str]) -> str:
    """Do what the command line says; returns what there is to tell.

    Raises:
        ConfigError, StoreError, UserError, ValueError: nothing was changed; the message says why.
    """
    parser = argparse.ArgumentParser(prog="videoapp-user", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, what in (("add", "add a user"), ("password", "change a password, end all sessions")):
        command = verbs.add_parser(verb, help=what)
        command.add_argument("name")
        command.add_argument(
            "--stdin", action="store_true", help="read the password; else one is made and printed"
        )
    verbs.add_parser("list", help="list the users")
    options = parser.parse_args(arguments)

    settings = read_settings()
    if not settings.marker.exists():
        raise StoreError("this instance is in standby: run this where the app serves")
    store = Store(settings.database)
    try:
        if options.verb == "list":
            return "\n".join(store.users())
        given = sys.stdin.readline().rstrip("\n") if options.stdin else None
        password = given if given is not None else secrets.token_urlsafe(15)
        change = store.add_user if options.verb == "add" else store.set_password
        change(options.name, hash_password(password))
        return "" if options.stdin else password
    finally:
        store.close()


def main() -> None:
    """The command."""
    try:
        told = run(sys.argv[1:])
    except (ConfigError, StoreError, UserError, ValueError) as error:
        sys.exit(f"videoapp-user: {error}")
    if told:
        print(told)


if __name__ == "__main__":
    main()
