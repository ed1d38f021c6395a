"""The command ``genolm``, and ``python -m genolm``: the command line, which Ctrl-C ends from its first moment on."""

INTERRUPTED = 130


def main() -> None:
    """Load the command line and run it; one stopped while it loads says so as one stopped later does."""
    try:
        from genolm.cli import main as run

        run()
    except KeyboardInterrupt:
        import sys

        print("Stopped.", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
