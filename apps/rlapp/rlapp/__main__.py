"""The command: python -m rlapp serve|link CONFIG."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import uvicorn

from . import log
from .access import sign_in_url
from .app import create_app
from .config import Config, ConfigError, read_config
from .runner import Runner
from .service import build
from .store import Store

# Open event streams end when the service does; other requests get this long.
_GRACE_S = 5


def serve(
    config: Config,
    host: str,
    port: int,
    runner: Runner | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve until a signal comes; raises ConfigError.

    runner: what runs the playbooks. certificate, key: PEM files; with them, over TLS.
    """
    log.set_up()

    async def run() -> None:
        service = build(config, runner)
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(service),
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        await server.serve()

    asyncio.run(run())


def _link(config: Config) -> None:
    store = Store(config.database)
    print(sign_in_url(config, store))
    store.close()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="rlapp", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("serve", help="run the service")
    run.add_argument("--host", default="127.0.0.1")
    run.add_argument("--port", type=int, default=8090)
    run.add_argument("--certificate", type=Path, help="with --key: serve over TLS (PEM files)")
    run.add_argument("--key", type=Path)
    verbs.add_parser("link", help="print a link that signs in once, within an hour")
    for verb in verbs.choices.values():
        verb.add_argument("config", type=Path)
    options = parser.parse_args()
    try:
        config = read_config(options.config)
        if options.verb == "serve":
            if (options.certificate is None) != (options.key is None):
                parser.error("--certificate and --key belong together")
            serve(
                config,
                options.host,
                options.port,
                certificate=options.certificate,
                key=options.key,
            )
        else:
            _link(config)
    except (ConfigError, ValueError, OSError) as error:
        sys.exit(f"rlapp: {error}")


if __name__ == "__main__":
    main()
