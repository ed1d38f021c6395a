"""``python -m genolm``: the same as the command ``genolm``."""

from genolm.cli import main

if __name__ == "__main__":
    main()
