"""A large catalogue: how long 1,000 foreign operations take to import and to read, and what they cost a single call."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from services.tool_gateway.call.call import Preconditions, Requested
from services.tool_gateway.call.judge import judge
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.document import read_tools
from services.tool_gateway.catalogue.foreign import parse
from services.tool_gateway.catalogue.importer import Wish, import_document
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.engine import Policies
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from shared.ids import CallId, RunId, call_id, run_id, thread_id

OPERATIONS = 1000
OPEN = {"open.cedar": '@id("open") permit(principal, action, resource);'}
CALLS = 20_000
RUN = RunId(run_id("builder", "/bench", "catalogue"))
STANDING = Preconditions(duplicate_in_doubt=False, run_over=False, paused=False)


def large_document(operations: int = OPERATIONS) -> dict[str, Any]:
    """An OpenAPI document of that many operations with references, recursion and combined schemas."""
    node = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "A name. " * 10},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        },
    }
    paged = {
        "type": "object",
        "properties": {
            "page": {"type": "integer", "minimum": 1},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
    }
    paths = {}
    for number in range(operations):
        body = {
            "allOf": [
                {"$ref": "#/components/schemas/Paged"},
                {
                    "type": "object",
                    "required": ["root"],
                    "properties": {"root": {"$ref": "#/components/schemas/Node"}, f"extra{number}": {"type": "string"}},
                },
            ]
        }
        paths[f"/things{number}/{{id}}"] = {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "post": {
                "operationId": f"change{number}",
                "summary": f"Change thing {number}.",
                "requestBody": {"content": {"application/json": {"schema": body}}},
            },
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Large", "version": "1"},
        "servers": [{"url": "https://large.example"}],
        "paths": paths,
        "components": {"schemas": {"Node": node, "Paged": paged}},
    }


def measure(file: Path, echo: Tool) -> dict[str, Any]:
    """Write the document to `file`, ready for VIOX_CATALOGUE; import, read and call, measured."""
    raw = yaml.dump(large_document(), Dumper=yaml.CSafeDumper).encode()
    began = time.perf_counter()
    parsed = parse(raw)
    parsed_at = time.perf_counter()
    made = import_document(parsed, "https://large.example/openapi.yaml", Wish("large"))
    imported_at = time.perf_counter()
    file.write_text(yaml.dump(made.document, Dumper=yaml.CSafeDumper))
    tracemalloc.start()
    tools = read_tools(made.document, "large")
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    small = Catalogue([echo], {"builder": frozenset({echo.name})})
    large = Catalogue([echo, *tools], {"builder": frozenset({echo.name})})
    secrets = Secrets({})
    return {
        "tools": len(made.tools),
        "parse_seconds": parsed_at - began,
        "import_seconds": imported_at - parsed_at,
        "bytes_per_tool": memory / len(tools),
        "document_bytes": len(raw),
        "judge_and_prepare_us": {
            "1 tool": _per_call(small, secrets),
            f"{len(large.tools)} tools": _per_call(large, secrets),
        },
    }


def _per_call(catalogue: Catalogue, secrets: Secrets) -> float:
    """Microseconds to judge a call and to build its request."""
    arguments: Mapping[str, Any] = {"n": 1, "text": "x" * 100}
    call = Requested(
        CallId(call_id(RUN, 1, 0)),
        RUN,
        1,
        0,
        "builder",
        thread_id("builder", "c"),
        "c",
        "bench_echo",
        dict(arguments),
        None,
    )
    policies, local = Policies(OPEN, catalogue), datetime.now()
    started = time.perf_counter()
    for _ in range(CALLS):
        verdict = judge(call, STANDING, catalogue, policies, local)
        assert verdict.tool is not None
        prepare(verdict.tool, call.arguments, secrets, key=call.call_id)
    return (time.perf_counter() - started) / CALLS * 1_000_000
