"""A plug-in of one's own to start from: `spg new method NAME` (docs/extending.md)."""
