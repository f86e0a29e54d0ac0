"""``python -m medici_py`` is the ``medici`` command."""

from medici_py.cli import main

if __name__ == "__main__":
    main()
