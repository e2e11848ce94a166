"""Builder: looks into failed automations and plans new ones."""
