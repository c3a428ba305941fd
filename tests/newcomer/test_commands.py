"""Every command in the documents is tried as printed: run, started, or read by the program that it calls."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocket, sync_playwright

import bench.run
import proof.run
from config import settings
from contract.testing import Witness
from proof.mutants.run import all_of_them
from tests.acceptance.conftest import CHROMIUM_ARGUMENTS
from tests.acceptance.wscat import Wscat
from tests.newcomer.conftest import DevServer, clone, environment_of_a_shell
from tests.newcomer.documents import Block, blocks, commands, shell_blocks
from tests.processes import Process, accepts, wait_until
from tests.programs import chromium
from tests.servers import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

#: The time that a command may take which runs to its end.
LONGEST_SECONDS = 120
#: Programs that a test machine does not have: a Docker engine, an account at a provider, a server's own
#: users.
#: bash reads these, and finds a quote that is not closed; `tests/deployment` tests what they do.
ELSEWHERE = r"(sudo|(\w+=\w+ )*docker|railway|systemctl|sqlite3|git) "
#: Commands that start a server, and are not waited for.
SERVERS = r"(.*&& )?(daphne|uvicorn|python manage\.py runserver|scripts/serve|scripts/dev)\b"


class Tree:
    """A fresh tree with its environment active and the demo's data, and a terminal in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / ".env").write_text(f"SECRET_KEY={'0123456789abcdef' * 2}\nDEMO_ENABLED=1\n")
        self.environment = environment_of_a_shell()
        self.environment["PATH"] = f"{path}/.venv/bin:{self.environment['PATH']}"
        self.run("python manage.py migrate --verbosity 0 && python manage.py seed_demo")

    def run(self, command: str) -> str:
        """Run a command, which must succeed, and return its output."""
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with clone() as path:
        yield Tree(path)


class Started(Process):
    """A server, started by the command of a document; only its port is another."""

    name = "documented"

    def __init__(self, tree: Tree, command: str) -> None:
        super().__init__()
        self.working_directory = tree.path
        self._environment = tree.environment | {"PORT": str(self.port), "UVICORN_PORT": str(self.port)}
        on_port = re.sub(r"\b8000\b", str(self.port), command)
        if command.endswith("runserver"):
            on_port += f" --noreload {self.port}"
        *before, last = on_port.split(" && ")
        self._command = " && ".join([*before, f"exec {last}"])

    def command(self) -> list[str]:
        return ["bash", "-euc", self._command]

    def environment(self) -> dict[str, str]:
        return self._environment

    def answers(self) -> bool:
        return accepts(self.port)


# ── each command ─────────────────────────────────────────────────────────────────────────────────────────


def is_environment_file(block: Block) -> bool:
    return all(re.fullmatch(r"[A-Z_]+=\S*", line) for line in block.text.splitlines())


def is_session(block: Block) -> bool:
    """Whether the block is a session in which frames are typed and read, such as the README's first
    conversation."""
    return "wscat" in block.text or block.text.startswith(("> ", "< "))


def is_command(block: Block) -> bool:
    return not (
        is_environment_file(block) or is_session(block) or block.text.startswith(("{", "GET ", "POST "))
    )


#: Left to `test_extending.py` and `test_runbook.py`: an app that is not there, and an operator's machine.
ELSEWHERE_TRIED = ("docs/extending.md", "docs/operations/runbook.md")

COMMANDS = [
    pytest.param(command, id=f"{block}-{number}")
    for block in shell_blocks()
    if is_command(block) and block.document not in ELSEWHERE_TRIED
    for number, command in enumerate(commands(block))
]


def test_documents_have_commands():
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_documents_works(command: str, tree: Tree) -> None:
    for pattern, try_it in WAYS:
        if re.match(pattern, command):
            try_it(command, tree)
            return
    pytest.fail(f"nobody tries {command!r}")


def _is_read_by_bash(command: str, tree: Tree) -> None:
    subprocess.run(["bash", "-n", "-c", command], check=True)


def _is_run(command: str, tree: Tree) -> None:
    tree.run(command)


def _serves(command: str, tree: Tree) -> None:
    with Started(tree, command):
        pass


def _is_a_script(command: str, tree: Tree) -> None:
    script, *arguments = shlex.split(command)
    assert os.access(ROOT / script, os.X_OK), f"{script} is not there"
    if script == "scripts/chaos":
        proof.run.parse(arguments)
    elif script == "scripts/bench":
        bench.run.parse(arguments)
    elif script == "scripts/mutants":
        assert set(arguments) <= {mutant.name for mutant in all_of_them()}
    elif script == "scripts/autobahn":
        _is_a_program_of_ours(shlex.join(["python", "-m", "proof.autobahn.run", *arguments]), tree)
    elif script == "scripts/check":
        assert arguments in ([], ["--audit"])
    elif script == "scripts/test":
        assert arguments in ([], ["--fast"])
    else:
        assert not arguments


def _is_a_program_of_ours(command: str, tree: Tree) -> None:
    """Try a program that takes minutes or hours: it reads all options up to the last, which it does not
    know."""
    done = subprocess.run(
        [*shlex.split(command), "--no-such-option"],
        cwd=tree.path,
        env=tree.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip().endswith("unrecognized arguments: --no-such-option"), done.stderr


def _loop_fills_env(command: str, tree: Tree) -> None:
    """Run the loop that makes the secrets; the rest of the block needs Docker."""
    loop = command.partition("done\n")[0] + "done\n"
    shutil.copy(tree.path / ".env.example", tree.path / ".env.try")
    tree.run(loop.replace(".env ", ".env.try ").replace(">> .env", ">> .env.try"))
    # A second run changes nothing.
    tree.run(loop.replace(".env ", ".env.try ").replace(">> .env", ">> .env.try"))
    written = re.findall(r"^(\w+)=([0-9a-f]{64})$", (tree.path / ".env.try").read_text(), re.MULTILINE)
    assert [name for name, _ in written] == ["SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"]


Try = Callable[[str, Tree], None]
#: The ways to try a command; the first that matches is taken.
WAYS: list[tuple[str, Try]] = [
    (r"for name in SECRET_KEY", _loop_fills_env),
    (ELSEWHERE, _is_read_by_bash),
    (SERVERS, _serves),
    (r"scripts/", _is_a_script),
    (r"python -m tests\.attacks\.", _is_a_program_of_ours),
    (r"cp \.env\.example \.env$", lambda command, tree: _is_run(f"{command}.copy", tree)),
    (r"python bench/changes\.py$", lambda command, tree: _is_run(f"{command} --rows 20 --pairs 1", tree)),
    (r"(time )?python (manage\.py|bench/fixture\.py) ", _is_run),
    (r"(\. \.venv/bin/activate$|export \w+=\$\(|[A-Z_]+=\$\()", _is_run),
    (r"(python -m venv |curl |[A-Z_]+=\")", _is_read_by_bash),
]


@pytest.mark.parametrize("block", [b for b in shell_blocks() if is_environment_file(b)], ids=str)
def test_environment_file_names_settings(block: Block) -> None:
    named = re.findall(r"^([A-Z_]+)=", block.text, re.MULTILINE)

    assert set(named) <= settings.env.asked_for


# ── the README's conversation ────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def dev() -> Iterator[DevServer]:
    with clone() as path, DevServer(path) as running:
        yield running


class Terminal:
    """A terminal that types the README's lines, and reads the answers that the README prints."""

    def __init__(self, dev: DevServer) -> None:
        self._dev = dev
        self._defined: list[str] = []
        self._wscat: Wscat | None = None

    def types(self, line: str) -> None:
        line = line.replace("8000", str(self._dev.port))
        if line.startswith("> "):
            assert self._wscat is not None
            self._wscat.types(line[2:])
        elif line.startswith("< "):
            self._reads(line[2:])
        elif line.startswith("npx wscat "):
            self.leaves()
            self._wscat = Wscat(*self._words(line.removeprefix("npx wscat "))).__enter__().connects()
        elif re.match(r"\w+=", line):
            self._defined.append(line)
        else:
            told = self._run(line)
            assert json.loads(told)["results"], told

    def leaves(self) -> None:
        if self._wscat is not None:
            self._wscat.__exit__()
            self._wscat = None

    def _reads(self, printed: str) -> None:
        """Check that the next frame of that kind has all the printed fields."""
        expected = json.loads(
            re.sub(r",?…,?", lambda found: "," if found[0].count(",") == 2 else "", printed)
        )
        assert self._wscat is not None
        while (frame := self._wscat.reads())["type"] != expected["type"]:
            pass
        assert {name: frame[name] for name in expected} == expected

    def _words(self, line: str) -> list[str]:
        return self._run(f"printf '%s\\0' {line}").split("\0")[:-1]

    def _run(self, line: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", "\n".join([*self._defined, line])],
            cwd=self._dev.working_directory,
            env=environment_of_a_shell(),
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def test_first_conversation_of_the_readme(fresh_tree: Path) -> None:
    """The server has started afresh, so the numbers are the printed ones."""
    sessions = [block for block in shell_blocks("README.md") if is_session(block) or "curl" in block.text]
    assert len(sessions) == 3

    with DevServer(fresh_tree) as dev:
        terminal = Terminal(dev)
        try:
            for block in sessions:
                for line in commands(block):
                    terminal.types(line)
        finally:
            terminal.leaves()


def test_requests_of_the_page_on_rest_are_answered_as_it_says(dev: DevServer) -> None:
    """The requests are typed in order, in one terminal; after each one the page prints fields of its
    answer."""
    text = "\n".join(block.text for block in shell_blocks("docs/protocols/rest.md"))
    lines = re.sub(r"\\\n\s*", "", text.replace("8000", str(dev.port))).splitlines()
    defined = [line for line in lines if not line.startswith("curl ")]
    requests = [line.partition("  # ") for line in lines if line.startswith("curl ")]
    assert len(requests) > 10

    answers = _printed(dev, [*defined, *(request for request, _, _ in requests)])

    for (request, _, fields), answer in zip(requests, answers, strict=True):
        shown = answer[0] if isinstance(answer, list) else answer
        assert set(fields.split(", ")) <= shown.keys(), f"{request}\n{shown}"


def _printed(dev: DevServer, lines: list[str]) -> list[Any]:
    """The JSON that each request prints, with the requests typed one after the other."""
    script = [f"{line} && echo" if line.startswith("curl ") else line for line in lines]
    done = subprocess.run(
        ["bash", "-euc", "\n".join(script)],
        cwd=dev.working_directory,
        env=environment_of_a_shell(),
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def page(dev: DevServer) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        yield browser.new_page()
        browser.close()


class Pasted:
    """A snippet pasted into a page of the server, which has a token and shows what it hears."""

    def __init__(self, dev: DevServer, page: Page, snippet: str) -> None:
        self._page = page
        self.failures: list[str] = []
        self.frames: list[dict[str, Any]] = []
        page.on("pageerror", lambda error: self.failures.append(str(error)))
        page.on("websocket", self._records)
        page.goto(f"http://localhost:{dev.port}/")
        page.evaluate(
            """([token, base, snippet]) => {
                localStorage.setItem('access_token', token);
                Object.assign(window, {token, base, id: 123, heard: [], reload: () => {}});
                window.addMessage = (data) => window.heard.push(data.content);
                (0, eval)(snippet);
            }""",
            [_token(dev), f"ws://localhost:{dev.port}", snippet.replace("8000", str(dev.port))],
        )

    def waits_for(self, come: Callable[[], bool], what: str) -> None:
        def is_over() -> bool:
            self._page.evaluate("0")  # the browser delivers what it has seen while it is asked something
            return come() or bool(self.failures)

        wait_until(is_over, seconds=20, what=what)
        assert self.failures == []

    def hears(self, content: str) -> bool:
        return bool(self._page.evaluate("content => window.heard.includes(content)", content))

    def _records(self, socket: WebSocket) -> None:
        # The browser tells the address, and not what a snippet offers besides: the snippet may have opted in
        # that way.
        witness = Witness(f"/{socket.url.partition('//')[2].partition('/')[2]}", ["relais.v1"])

        def receives(frame: str | bytes) -> None:
            witness.told(frame)
            self.frames.append(json.loads(frame))

        socket.on("framesent", witness.said)
        socket.on("framereceived", receives)


def _token(dev: DevServer) -> str:
    return subprocess.run(
        [".venv/bin/python", "manage.py", "token", "ana"],
        cwd=dev.working_directory,
        env=environment_of_a_shell(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def snippets(document: str) -> list[Block]:
    return [block for block in blocks(document) if block.language == "javascript"]


def test_page_snippet_of_the_readme_says_and_hears(dev: DevServer, page: Page) -> None:
    [snippet] = snippets("README.md")
    pasted = Pasted(dev, page, snippet.text)

    pasted.waits_for(lambda: pasted.hears("Bonjour"), "its own message comes back")


@pytest.mark.parametrize("snippet", [s for s in snippets("docs/guide.md") if "WebSocket" in s.text], ids=str)
def test_snippet_of_the_guide_opens_its_socket(dev: DevServer, page: Page, snippet: Block) -> None:
    pasted = Pasted(dev, page, snippet.text)

    pasted.waits_for(lambda: any(f["type"] == "subscribed" for f in pasted.frames), "it has subscribed")
    if "addMessage" in snippet.text:  # the snippet draws from the beginning
        pasted.waits_for(lambda: pasted.hears("Bonjour 👋  مرحبا بالعالم"), "it shows the history")


def test_snippet_of_the_guide_finds_the_scheme(dev: DevServer, page: Page) -> None:
    [snippet] = [s for s in snippets("docs/guide.md") if "WebSocket" not in s.text]
    page.goto(f"http://localhost:{dev.port}/")

    base = page.evaluate("snippet => (0, eval)(`${snippet}; base`)", snippet.text)

    assert base == f"ws://localhost:{dev.port}"


def test_command_on_the_first_page_opens_a_socket(dev: DevServer, page: Page) -> None:
    page.goto(f"http://localhost:{dev.port}/")
    command, frame = page.locator("footer code").inner_text().splitlines()
    terminal = Terminal(dev)

    try:
        terminal.types(command)
        terminal.types(f"> {frame}")
        terminal.types('< {"type":"message","sender_username":"ana","content":"Hello",…}')
    finally:
        terminal.leaves()
