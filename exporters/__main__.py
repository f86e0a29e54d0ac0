"""``python -m exporters`` is the ``stablesats-exporter`` command."""

from exporters.cli import main

if __name__ == "__main__":
    main()
