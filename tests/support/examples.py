"""Examples of the pages in docs/ that ask for a response: found, and run as the programs that they are."""

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.support.model_server import Round
from tests.support.node import node, node_modules
from tests.support.running_gateway import RunningGateway

_DOCS = Path(__file__).parents[2] / "docs"
USER_TOKEN = "the-users-own-token"


def examples(page: str, language: str) -> list[str]:
    """The blocks of a page in a language (python, js, sh) that name a model."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (_DOCS / page).read_text("utf-8"), re.M | re.S)
    return [block for block in blocks if "demo-model" in block]


async def run(text: str, language: str, directory: Path, gateway: RunningGateway, *rounds: Round) -> str:
    """The output of an example with this gateway, and with a model that plays `rounds`. Asserts that it ends well."""
    (directory / "node_modules").symlink_to(node_modules())
    for shown, real in {"http://127.0.0.1:8321/v1": gateway.url, "demo-model": gateway.plays(*rounds)}.items():
        assert shown in text
        text = text.replace(shown, real)
    name, program = {"python": ("example.py", sys.executable), "js": ("example.mjs", node()), "sh": ("example.sh", "sh")}[language]
    (directory / name).write_text(text)
    running = await asyncio.create_subprocess_exec(
        program,
        name,
        cwd=directory,
        env={**os.environ, "USER_TOKEN": USER_TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await running.communicate()
    assert running.returncode == 0, f"{errors.decode()}\n{gateway.process.tail()}"
    return output.decode()
