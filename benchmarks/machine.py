"""What the numbers were measured on."""

import asyncio
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import pymongo
from pymongo import AsyncMongoClient

from benchmarks.journals import Document
from benchmarks.table import Table
from benchmarks.worker_process import NODE_MEDICI

_KIB_A_GIB = 1_024**2
_BYTES_A_GIB = 1_024**3


async def describe_machine(client: AsyncMongoClient[Document]) -> Mapping[str, str]:
    """Return processor, memory, kernel and the versions of everything that took part."""
    return {
        "processor": _proc_value("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(_proc_value('/proc/meminfo', 'MemTotal').split()[0]) / _KIB_A_GIB:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()}, PyMongo {pymongo.version}",
        "MongoDB": await _server(client),
        "Node": f"{await _node_version()}, medici {_npm_version('medici')}, "
        f"mongoose {_npm_version('mongoose')}, driver {_npm_version('mongodb')}",
    }


def machine_table(machine: Mapping[str, str]) -> Table:
    """Return the description as it is printed."""
    return Table("Machine", ("what", "which"), list(machine.items()))


async def _server(client: AsyncMongoClient[Document]) -> str:
    status = await client.admin.command("serverStatus")
    hosts = (await client.admin.command("hello")).get("hosts", ())
    cache = status["wiredTiger"]["cache"]["maximum bytes configured"] / _BYTES_A_GIB
    return f"{status['version']}, replica set of {len(hosts)}, cache {cache:g} GiB"


def _proc_value(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


async def _node_version() -> str:
    process = await asyncio.create_subprocess_exec("node", "--version", stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode().strip()


def _npm_version(package: str) -> str:
    manifest = NODE_MEDICI / "node_modules" / package / "package.json"
    return str(json.loads(manifest.read_text(encoding="utf-8"))["version"])
