"""`python -m thinkling` is the command `thinkling`."""

from thinkling.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
