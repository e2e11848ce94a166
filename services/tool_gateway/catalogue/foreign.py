"""Other people's OpenAPI documents: got, read and measured without trusting them.

What is refused here is refused by name: not a document, too large, circular, an alias bomb, nested without end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from services.tool_gateway.catalogue import reading, swagger2
from services.tool_gateway.catalogue.schema import with_plain_references
from services.tool_gateway.catalogue.yaml12 import MAX_DEPTH, MAX_NODES, Circular, TooDeep, TooMany
from services.tool_gateway.wire.transport import MaybeSent, NotSent, Wire
from shared.errors import BadInput

MAX_BYTES = 20_000_000
REDIRECTS = 3


async def fetch(source: str, wire: Wire) -> tuple[bytes, str]:
    """Bytes of a file or URL, and the URL they came from at last ("" for a file). Raises BadInput."""
    if not source.startswith(("http://", "https://")):
        return _read(Path(source)), ""
    url = source
    for _ in range(REDIRECTS + 1):
        answer = await _get(url, wire)
        if answer.status_code in (301, 302, 303, 307, 308) and "location" in answer.headers:
            url = _following(url, answer.headers["location"])
            continue
        if answer.status_code != 200:
            raise BadInput("document.unreachable", f"{url} answers {answer.status_code}.", field="SOURCE")
        return bytes(answer.extensions["viox.body"]), url
    raise BadInput("document.unreachable", f"{source} redirects more than {REDIRECTS} times.", field="SOURCE")


def parse(raw: bytes) -> dict[str, Any]:
    """An OpenAPI 3.0 or 3.1 document as JSON values; Swagger 2.0 as 3.0. Raises BadInput naming what is wrong with it."""
    if len(raw) > MAX_BYTES:
        raise BadInput("document.too_large", f"{len(raw):,} bytes; {MAX_BYTES:,} is the limit.", field="SOURCE")
    try:
        document = reading.read(raw)
    except (TooDeep, TooMany, Circular) as error:
        code = {TooDeep: "document.too_deep", TooMany: "document.too_large", Circular: "document.circular"}[type(error)]
        raise BadInput(code, f"{error}.", field="SOURCE") from error
    except reading.UNREADABLE as error:
        told = " ".join(str(error).split())[:300] or "nested too deeply"
        raise BadInput("document.unreadable", f"neither JSON nor YAML: {told}.", field="SOURCE") from error
    if not isinstance(document, dict):
        raise BadInput("document.invalid", "the document is not an object.", field="SOURCE")
    _weigh(document)
    if "openapi" not in document and swagger2.is_swagger2(document):
        document = swagger2.converted(document)
    _check_version(document)
    if not isinstance(document.get("paths"), dict) or not isinstance(document.get("info"), dict):
        raise BadInput("document.invalid", "info or paths is missing.", field="paths")
    return with_plain_references(document)


def _check_version(document: dict[str, Any]) -> None:
    """Raises BadInput when it is none that can be read."""
    named = "swagger" if "openapi" not in document and "swagger" in document else "openapi"
    version = str(document.get(named, ""))
    if named == "swagger" or not version.startswith(("3.0", "3.1")):
        raise BadInput(
            "document.invalid",
            f"{named} is {version!r}.",
            field=named,
            remedy="OpenAPI 3.0 and 3.1 and Swagger 2.0 can be read: convert it to one of them.",
        )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput("document.too_large", f"{path} is larger than {MAX_BYTES:,} bytes.", field="SOURCE")
        return path.read_bytes()
    except OSError as error:
        raise BadInput("file.unreadable", f"{path}: {error.strerror}.", field="SOURCE") from error


def _following(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise BadInput("document.unreachable", f"{url} leads to {location!r}: {error}.", field="SOURCE") from error


async def _get(url: str, wire: Wire) -> httpx2.Response:
    try:
        parts = urlsplit(url)
        sound = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname and httpx2.URL(url).host)
            and "@" not in parts.netloc
        )
    except (ValueError, httpx2.InvalidURL):
        sound = False
    if not sound:
        raise BadInput("document.unreachable", f"{url!r} is not an http(s) URL we would call.", field="SOURCE")
    headers = [
        ("Host", parts.netloc),
        ("User-Agent", "viox-import/0.1"),
        ("Accept", "application/json, application/yaml, */*"),
    ]
    request = httpx2.Request("GET", url, headers=headers, extensions={"timeout": {"connect": 5.0, "read": 30.0}})
    try:
        return await wire.handle_async_request(request)
    except (NotSent, MaybeSent) as error:
        raise BadInput(
            "document.unreachable", f"{url}: {error.message}", field="SOURCE", remedy=error.remedy
        ) from error


def _weigh(document: Any) -> None:
    """Count the nodes that a walk would visit, shared ones as often as they are used, each looked into only once."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    stack: list[tuple[Any, bool]] = [(document, False)]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            inner = node.values() if isinstance(node, dict) else node
            sizes[id(node)] = 1 + sum(sizes.get(id(child), 1) for child in inner)
            open_nodes.discard(id(node))
            if sizes[id(node)] > MAX_NODES:
                raise BadInput(
                    "document.too_large", f"more than {MAX_NODES:,} values, once its aliases unfold.", field="SOURCE"
                )
            continue
        if not isinstance(node, dict | list | tuple) or id(node) in sizes:
            continue
        if id(node) in open_nodes:
            raise BadInput("document.circular", "an alias contains itself.", field="SOURCE")
        open_nodes.add(id(node))
        if len(open_nodes) > MAX_DEPTH:
            raise BadInput("document.too_deep", f"nested deeper than {MAX_DEPTH} levels.", field="SOURCE")
        stack.append((node, True))
        stack += [(child, False) for child in (node.values() if isinstance(node, dict) else node)]
