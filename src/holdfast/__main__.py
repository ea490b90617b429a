"""``python -m holdfast`` is the console script ``holdfast``."""

from holdfast.cli import main

if __name__ == "__main__":
    main()
