"""A certified OpenID Connect provider on this machine: panva's oidc-provider, from the npm registry."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processor.console.oidc import Provider
from tests.npm import installed

HERE = Path(__file__).parent / "contract" / "oidc"
ROLES = {"meter-admins": "operator", "finance": "billing-admin", "readers": "viewer"}


@contextmanager
def running(base: str, *arguments: str) -> Iterator[str]:
    """A provider that knows the console at `base`; yields its issuer."""
    node, directory = installed(HERE, "oidc-provider", "provider.mjs")
    command = [node, "provider.mjs", base, *arguments]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def provider(issuer: str, **changed: Any) -> Provider:
    return Provider(
        issuer=issuer,
        client_id="console",
        client_secret="s3cret",  # noqa: S106 - of the provider above
        title="Contoso",
        scopes="openid profile",
        name_claim="preferred_username",
        role_claim="groups",
        roles=ROLES,
        tenants_claim="tenants",
    )._replace(**changed)
