"""How a service starts, stops and fails: exit codes and last words, tried on real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import pytest

from stablesats.lifecycle import STOP_ON_STDIN_EOF, one_line, wait_or_stop

DEADLINE_SECS = 30

PROLOGUE = """
import asyncio
from medici_py.errors import UnsupportedDeploymentError
from pymongo.errors import ServerSelectionTimeoutError
from stablesats.errors import ConfigurationError
from stablesats.lifecycle import run_service

def say(word):
    print(word, flush=True)

async def polite(stop):
    say("ready")
    await stop.wait()
    say("stopped")

async def stubborn(stop):
    say("ready")
    try:
        await stop.wait()
        say("stopping")
        await asyncio.sleep(3600)
    finally:
        say("cleaned up")
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Run a service in a process of its own; nothing of it outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def run(body: str, **environment: str) -> "subprocess.Popen[str]":
        script = f"{PROLOGUE}\n{textwrap.dedent(body)}\nraise SystemExit(run_service(service))"
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**{k: v for k, v in os.environ.items() if k != STOP_ON_STDIN_EOF}, **environment},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def end(process: "subprocess.Popen[str]") -> tuple[int, list[str], str]:
    """Wait for the end; exit code, lines said, last words on standard error."""
    out, err = process.communicate(timeout=DEADLINE_SECS)
    return process.returncode, out.split("\n")[:-1], err


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_first_signal_stops_the_service_politely(self, start: Start, number: signal.Signals) -> None:
        """It ends by itself, with exit code 0."""
        process = start("service = polite")
        assert said(process) == "ready"
        process.send_signal(number)
        assert end(process) == (0, ["stopped"], "")

    @pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_second_signal_cancels_it(self, start: Start, number: signal.Signals, exit_code: int) -> None:
        """It still cleans up; the exit code names the signal."""
        process = start("service = stubborn")
        assert said(process) == "ready"
        process.send_signal(number)
        assert said(process) == "stopping"
        process.send_signal(number)
        assert end(process) == (exit_code, ["cleaned up"], "")

    def test_service_that_does_not_end_in_time_is_cancelled(self, start: Start) -> None:
        """A database that is gone must not keep a process alive; the line says that something was cut off."""
        process = start(
            "run = run_service; run_service = lambda s: run(s, stop_within_secs=0.2); service = stubborn"
        )
        assert said(process) == "ready"
        process.send_signal(signal.SIGTERM)
        exit_code, lines, last_words = end(process)
        assert (exit_code, lines) == (1, ["stopping", "cleaned up"])
        assert (
            last_words == "error: what was under way did not end within 0.2 s of the stop, and was cut off\n"
        )

    def test_service_that_ignores_its_cancellation_is_left_behind(self, start: Start) -> None:
        """Some driver calls never come back from one; the process ends all the same."""
        body = """
        import stablesats.lifecycle as lifecycle
        lifecycle._CANCEL_WITHIN_SECS = 0.2
        run = run_service
        run_service = lambda service: run(service, stop_within_secs=0.2)

        async def service(stop):
            say("ready")
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    say("ignored")
        """
        process = start(body)
        assert said(process) == "ready"
        process.send_signal(signal.SIGTERM)
        exit_code, lines, last_words = end(process)
        assert (exit_code, lines) == (1, ["ignored"])
        assert last_words == "error: what was under way ignored being told to stop for 0.2 s\n"

    def test_end_of_standard_input_stops_it_if_asked_for(self, start: Start) -> None:
        """However the parent dies, its end of the pipe closes."""
        process = start("service = polite", **{STOP_ON_STDIN_EOF: "1"})
        assert said(process) == "ready"
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        assert end(process) == (0, ["stopped"], "")

    def test_signal_after_the_end_of_standard_input_is_the_first(self, start: Start) -> None:
        """A parent that closes the pipe and then terminates does not cut the service short."""
        body = """
        async def service(stop):
            say("ready")
            await stop.wait()
            say("stopping")
            await asyncio.sleep(1)
            say("stopped")
        """
        process = start(body, **{STOP_ON_STDIN_EOF: "1"})
        assert said(process) == "ready"
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        assert said(process) == "stopping"
        process.terminate()
        assert end(process) == (0, ["stopped"], "")

    def test_what_is_written_to_standard_input_stops_nothing(self, start: Start) -> None:
        """Only its end does."""
        process = start("service = polite", **{STOP_ON_STDIN_EOF: "1"})
        assert said(process) == "ready"
        assert process.stdin is not None
        process.stdin.write("hello\n")
        process.stdin.flush()
        process.send_signal(signal.SIGTERM)
        assert end(process) == (0, ["stopped"], "")

    def test_end_of_standard_input_means_nothing_otherwise(self, start: Start) -> None:
        """A service started by hand or by a supervisor may have no input at all."""
        body = """
        async def service(stop):
            try:
                await asyncio.wait_for(stop.wait(), 0.5)
            except TimeoutError:
                say("still running")
        """
        process = start(body)
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        assert end(process) == (0, ["still running"], "")

    def test_standard_input_that_is_no_pipe_is_refused(self) -> None:
        """Watching it would mean nothing."""
        script = f"{PROLOGUE}\nraise SystemExit(run_service(polite))"
        with open(__file__, encoding="utf-8") as file:  # noqa: PTH123 - a plain file as standard input
            ended = subprocess.run(
                [sys.executable, "-c", script],
                check=False,
                stdin=file,
                capture_output=True,
                text=True,
                timeout=DEADLINE_SECS,
                env={**os.environ, STOP_ON_STDIN_EOF: "1"},
            )
        assert ended.returncode == 1
        assert ended.stderr == (
            f"error: {STOP_ON_STDIN_EOF}=1 needs a pipe as standard input; unset it to run without one\n"
        )


class TestEnding:
    @pytest.mark.parametrize(("answer", "exit_code"), [("None", 0), ("0", 0), ("3", 3)])
    def test_answer_of_the_service_is_the_exit_code(self, start: Start, answer: str, exit_code: int) -> None:
        """None counts as 0."""
        process = start(f"""
        async def service(stop):
            return {answer}
        """)
        assert end(process) == (exit_code, [], "")

    @pytest.mark.parametrize(
        ("error", "line"),
        [
            ("ConfigurationError('okx.api_key\\n  is missing')", "error: okx.api_key is missing\n"),
            ("UnsupportedDeploymentError('standalone')", "error: standalone\n"),
            ("ServerSelectionTimeoutError('no servers')", "error: no servers"),
        ],
    )
    def test_error_on_purpose_is_one_line(self, start: Start, error: str, line: str) -> None:
        """On standard error, with exit code 1 and without a traceback."""
        process = start(f"""
        async def service(stop):
            raise {error}
        """)
        exit_code, lines, err = end(process)
        assert (exit_code, lines) == (1, [])
        assert err.startswith(line)
        assert err.count("\n") == 1

    @pytest.mark.parametrize(
        "error",
        [
            "TemplateChangedError('It was changed:\\n-a: 1\\n+a: 2', template='T', version=1, differences=('-a: 1', '+a: 2'))",
            "ChartChangedError('account', 'A', 1, ('-a: 1', '+a: 2'))",
        ],
    )
    def test_differences_of_a_changed_definition_are_a_line_each(self, start: Start, error: str) -> None:
        """Run together nobody could tell what was registered from what was given."""
        process = start(f"""
        from medici_py import TemplateChangedError
        from stablesats.ledger.chart_registry import ChartChangedError

        async def service(stop):
            raise {error}
        """)
        exit_code, _, err = end(process)
        message, *differences = err.splitlines()
        assert exit_code == 1
        assert message.startswith("error: ")
        assert differences == ["  -a: 1", "  +a: 2"]

    def test_defect_shows_its_traceback(self, start: Start) -> None:
        """Somebody has to mend it."""
        process = start("""
        async def service(stop):
            raise ZeroDivisionError("oh")
        """)
        exit_code, _, err = end(process)
        assert exit_code == 1
        assert "Traceback" in err
        assert "ZeroDivisionError: oh" in err


class TestOneLine:
    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (ValueError("a"), "a"),
            (ValueError("a\n b\t\tc "), "a b c"),
            (ValueError(), "ValueError"),
            (ValueError(" \n"), "ValueError"),
        ],
    )
    def test_message_is_put_on_one_line(self, error: Exception, line: str) -> None:
        """An error without words is named by its kind."""
        assert one_line(error) == line


class TestWaitOrStop:
    async def test_wait_ends_when_stopped(self) -> None:
        """Long before its time."""
        stop = asyncio.Event()
        waiting = asyncio.create_task(wait_or_stop(stop, 3600))
        await asyncio.sleep(0)
        stop.set()
        async with asyncio.timeout(DEADLINE_SECS):
            assert await waiting is True

    @pytest.mark.parametrize("timeout_secs", [0, 0.01])
    async def test_wait_ends_after_its_time(self, timeout_secs: float) -> None:
        """Not stopped."""
        assert await wait_or_stop(asyncio.Event(), timeout_secs) is False

    @pytest.mark.parametrize("timeout_secs", [0, 3600])
    async def test_stop_before_the_wait_is_not_lost(self, timeout_secs: float) -> None:
        """Whatever the time is."""
        stop = asyncio.Event()
        stop.set()
        async with asyncio.timeout(DEADLINE_SECS):
            assert await wait_or_stop(stop, timeout_secs) is True

    async def test_cancelled_wait_is_cancelled(self) -> None:
        """It is not taken for the end of its time."""
        waiting = asyncio.create_task(wait_or_stop(asyncio.Event(), 3600))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
