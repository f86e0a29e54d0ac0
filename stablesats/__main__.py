"""``python -m stablesats``."""

from stablesats.cli import main

if __name__ == "__main__":
    main()
