"""The style guide as a test: each rule here is one that reviews would otherwise have to repeat."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from statistics import quantiles

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "hubbub"
MODULES = sorted(PACKAGE.rglob("*.py"))
NATIVE = sorted(PACKAGE.rglob("*.pyx"))

# From the ground up: a floor may import itself and those before it. Folders of one floor that are
# not in each other's list (the protocols) may not import each other.
FLOORS = (
    "model",
    "log",
    "broker",
    "protocols",
    "observe",
    "server",
    "bus",
    "testing",
    "demo",
    "bench",
    "cli",
)
SANS_IO = ("model", "log", "broker", "protocols")
IO_MODULES = {"asyncio", "socket", "selectors", "threading", "concurrent", "time", "uvloop"}
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_P95 = 35
MODULE_LINES_MAX = 600


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def function_lengths(path: Path) -> list[tuple[int, str]]:
    lengths = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (body[-1].end_lineno - body[0].lineno + 1) if body else 0
            lengths.append((lines, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"))
    return lengths


def test_imports_go_down_the_floors_only():
    wrong = []
    for path in MODULES:
        floor = floor_of(path)
        if floor not in FLOORS:
            continue
        allowed = FLOORS[: FLOORS.index(floor) + 1]
        above = set(FLOORS) - set(allowed)
        wrong += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in imports_of(path)
            if name.startswith("hubbub.") and name.split(".")[1] in above
        ]
    assert not wrong


def test_the_benchmark_knows_nothing_of_what_it_measures():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        if floor_of(path) == "bench"
        for name in imports_of(path)
        if name.startswith("hubbub.") and name.split(".")[1] != "bench"
    ]
    assert not wrong


def test_protocols_never_import_each_other():
    wrong = []
    for path in MODULES:
        parts = path.relative_to(PACKAGE).parts
        if parts[0] != "protocols" or len(parts) < 3:
            continue
        wrong += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in imports_of(path)
            if name.startswith("hubbub.protocols.") and name.split(".")[2] != parts[1]
        ]
    assert not wrong


def test_the_lower_floors_open_no_socket_and_read_no_clock():
    # log/files.py is the one door to the disk.
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        if floor_of(path) in SANS_IO
        for name in imports_of(path)
        if name.split(".")[0] in IO_MODULES
    ]
    assert not wrong


def test_functions_are_short():
    lengths = sorted(length for path in MODULES for length in function_lengths(path))
    assert [name for lines, name in lengths if lines > FUNCTION_LINES_MAX] == []
    assert quantiles([lines for lines, _ in lengths], n=100)[94] <= FUNCTION_LINES_P95


def test_modules_are_short():
    sizes = {path: len(path.read_text().splitlines()) for path in [*MODULES, *NATIVE]}
    assert [str(path) for path, lines in sizes.items() if lines > MODULE_LINES_MAX] == []


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "common", "helpers", "misc", "core"}
    assert [str(path) for path in PACKAGE.rglob("*") if path.stem in drawers] == []


def test_nothing_is_left_to_be_done_later():
    later = re.compile(r"\b(TODO|FIXME|XXX)\b|NotImplementedError")
    assert [str(path) for path in [*MODULES, *NATIVE] if later.search(path.read_text())] == []


def test_every_native_module_has_a_stub():
    assert [str(path) for path in NATIVE if not path.with_suffix(".pyi").exists()] == []


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_file_names_a_path_of_somebodys_machine():
    # Put together here, so that this file does not match itself.
    private = re.compile("|".join(["/wo" + "rk/", "/ho" + "me/", "/ro" + "ot/", "/Us" + "ers/"]))
    found = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if private.search(text):
            found.append(str(path.relative_to(ROOT)))
    assert found == []


def test_links_between_documents_lead_somewhere():
    links = [
        (path, target)
        for path in tracked_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
        if "://" not in target
    ]
    broken = [
        f"{path} -> {target}" for path, target in links if not (path.parent / target).exists()
    ]
    assert broken == []
