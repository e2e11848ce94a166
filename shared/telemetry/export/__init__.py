"""Sends spans away: to any OTLP collector, to LangSmith, to Helicone. In the background, bounded, and counted."""
