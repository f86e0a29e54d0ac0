"""The ``medici`` command. What it needs beyond the library is imported when it runs."""

import io
import sys


def main() -> None:
    """Run the command; without the extra ``cli``, say in one line how to install it."""
    try:
        from medici_py.cli_commands import app  # noqa: PLC0415 - typer and rich are optional
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write("medici: this command needs the extra 'cli': pip install 'medici-py[cli]'\n")
        raise SystemExit(1) from None
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A letter that the terminal's encoding lacks is shown as its escape, instead of ending the command.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="medici")


if __name__ == "__main__":
    main()
