"""Programs for those who work on hoosh."""
