"""Where secrets come from in production: External Secrets copies each from the business's own store by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from viox.deploy import postgres, settings, sign_in
from viox.deploy.documents import PART_OF, Object, component, dump, made
from viox.deploy.facts import LOGINS, MODEL_KEYS, OWNER

API: Final = "external-secrets.io/v1"
STORE: Final = {"kind": "ClusterSecretStore", "name": "viox"}  # which store that is, the deployment says
PREFIX: Final = "viox/"  # of names in the store


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s/components, content)."""
    logins = [_login(name) for name in (OWNER, *LOGINS)]
    others = [_keys(name, keys) for name, keys in KEYS.items()]
    yield "external-secrets/postgres.yaml", dump(*logins)
    yield "external-secrets/services.yaml", dump(*others, vendors())
    yield "external-secrets/kustomization.yaml", component(["postgres.yaml", "services.yaml"])
    # Apart: not everybody signs in at a provider, and not every console there has a secret. What the store does not have stays an error.
    yield "oidc-external-secret/secret.yaml", dump(_keys(sign_in.SECRET, (sign_in.KEY,)))
    yield "oidc-external-secret/kustomization.yaml", component(["secret.yaml"])


# Secret → its keys; each is a secret of the same name in the store, below the Secret's.
KEYS: Final[dict[str, tuple[str, ...]]] = {
    "viox-models": MODEL_KEYS,
    "viox-gateway-keys": (settings.SECRET_KEY,),
    "viox-operator-token": (settings.OPERATOR_TOKEN,),
    "viox-audit-key": ("key",),
    "viox-people": ("people.yaml",),
    postgres.BACKUP_SECRET: ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"),
    "viox-tls": ("tls.crt", "tls.key"),
}


def _login(role: str) -> Object:
    """CloudNativePG wants name and password, and reads a changed password when the Secret says that it may."""
    name = settings.postgres_secret(role)
    template = {
        "type": "kubernetes.io/basic-auth",
        "metadata": {"labels": {"cnpg.io/reload": "true"}},
        "data": {"username": role, "password": "{{ .password }}"},
    }
    return _secret(name, template, data=[_one("password", f"{PREFIX}postgres/{role}")])


def _keys(name: str, keys: tuple[str, ...]) -> Object:
    kind = {"type": "kubernetes.io/tls"} if "tls.key" in keys else {}
    folder = name.removeprefix("viox-")
    return _secret(name, kind or None, data=[_one(key, f"{PREFIX}{folder}/{key}") for key in keys])


def vendors() -> Object:
    """All that lies below `viox/vendors` in the store: one entry for each credential, named as its setting."""
    found = {"find": {"path": f"{PREFIX}vendors", "name": {"regexp": ".*"}}}
    tail = {"source": f"^.*{PREFIX}vendors/", "target": ""}
    return _secret("viox-vendors", None, dataFrom=[found | {"rewrite": [{"regexp": tail}]}])


def _one(key: str, remote: str) -> Object:
    return {"secretKey": key, "remoteRef": {"key": remote}}


def _secret(name: str, template: Object | None, **sources: Any) -> Object:
    target: Object = {"name": name, "creationPolicy": "Owner"} | ({"template": template} if template else {})
    spec = {"refreshInterval": "5m", "secretStoreRef": STORE, "target": target, **sources}
    return made(API, "ExternalSecret", name, PART_OF, spec)


def names() -> list[str]:
    """Every Secret that a deployment has to have and that no operator makes."""
    return [*(settings.postgres_secret(role) for role in (OWNER, *LOGINS)), *KEYS, "viox-vendors"]
