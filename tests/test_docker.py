"""The files under docker/ that a tool can judge without a Docker engine."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"


def promtool() -> str:
    found = shutil.which("promtool", path=f"{ROOT / '.tools'}{os.pathsep}{os.environ['PATH']}")
    if found is None and os.environ.get("CI"):
        pytest.fail("promtool is missing; scripts/fetch-promtool gets it")
    if found is None:
        pytest.skip("promtool is missing; scripts/fetch-promtool gets it")
    return found


def test_prometheus_accepts_its_configuration_and_rules() -> None:
    """Promtool reads the configuration, and through it the alerting rules."""
    checked = subprocess.run(  # noqa: PLW1510 - the assertion below shows what it printed
        [promtool(), "check", "config", DOCKER / "prometheus" / "prometheus.yml"],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "4 rules found" in checked.stdout


def test_alerts_speak_of_metrics_that_the_exporter_has() -> None:
    """An alert on a metric that was renamed would be silent for ever."""
    gauges = (ROOT / "exporters" / "gauges.py").read_text()
    rules: dict[str, Any] = yaml.safe_load((DOCKER / "prometheus" / "stablesats.rules.yml").read_text())
    expressions = " ".join(rule["expr"] for group in rules["groups"] for rule in group["rules"])
    metrics = set(re.findall(r"stablesats_\w+", expressions))
    assert metrics
    assert [name for name in metrics if name.removeprefix("stablesats_") not in gauges] == []


def test_compose_publishes_on_loopback_only() -> None:
    """No port of the stack is open to a network by default."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
