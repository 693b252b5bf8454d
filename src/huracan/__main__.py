"""``python -m huracan`` is the ``huracan`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; Ctrl-C while it is still being loaded ends in a sentence too."""
    try:
        from huracan.cli import main as command
    except KeyboardInterrupt:
        print("huracan: stopped; the same command goes on where it stopped.", file=sys.stderr)
        raise SystemExit(130) from None
    command()


if __name__ == "__main__":
    main()
