"""`python -m spg` is `spg`."""

from spg.cli import main

if __name__ == "__main__":
    main()
