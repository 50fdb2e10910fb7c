"""spg: a reproducibility benchmark of Self-produced Guidance (ECCV 2018, arXiv:1807.08902)."""
