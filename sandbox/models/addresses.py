"""Where the model servers of the sandbox are, and the keys they take: invented, and good for nothing else."""

from __future__ import annotations

KEYS = {
    "anthropic": "sk-ant-sandbox-4f0c1d",
    "openai": "sk-sandbox-91b7e2",
    "gemini": "AIzaSandbox-7c35a8",
    "mistral": "sandbox-mistral-2d9e64",
}
ROOTS = {"anthropic": "/anthropic", "openai": "/openai/v1", "gemini": "/gemini/v1beta/openai", "mistral": "/mistral/v1"}


def settings(port: int) -> dict[str, str]:
    """Key and base URL of every provider, as an agent's settings."""
    made: dict[str, str] = {}
    for provider, key in KEYS.items():
        made[f"{provider.upper()}_API_KEY"] = key
        made[f"{provider.upper()}_BASE_URL"] = f"http://127.0.0.1:{port}{ROOTS[provider]}"
    return made
