"""Imported last by the fork server: what it has loaded is kept out of its children's garbage collections."""

import gc

gc.collect()
gc.freeze()
