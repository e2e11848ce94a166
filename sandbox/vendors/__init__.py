"""Emulators of vendors: stateful, with auth, validation, paging, rate limits and faults on demand. No code of the product."""
