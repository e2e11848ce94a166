"""JSON Schemas out of OpenAPI documents: one self-contained form that checks arguments, one without references for models.

references: what `$ref` leads to · dialect, values, patterns: one schema as people write it, in 2020-12's words ·
bundle, choices: the form that checks · checks: the validator, and its errors in words · models: the form for models.
"""

from services.tool_gateway.catalogue.schema.bundle import Bundle, Schemas
from services.tool_gateway.catalogue.schema.models import MODEL_SCHEMA_BYTES, for_models
from services.tool_gateway.catalogue.schema.references import Unresolvable, deref, lookup, with_plain_references

__all__ = [
    "MODEL_SCHEMA_BYTES",
    "Bundle",
    "Schemas",
    "Unresolvable",
    "deref",
    "for_models",
    "lookup",
    "with_plain_references",
]
