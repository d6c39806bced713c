"""Projects as ``git clone`` leaves them: nothing is installed, and no ``.env`` is there."""

from __future__ import annotations

import json
import os
import sys
from textwrap import dedent

import pytest

from langgraph_worker.cli.check import check_graphs
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.project import load_project
from langgraph_worker.settings.load import load_settings

pytestmark = pytest.mark.usefixtures("own_imports")

STATE = "from typing import TypedDict\nclass State(TypedDict, total=False):\n    said: str\n"
GRAPH = dedent(
    """
    from langgraph.graph import START, StateGraph
    builder = StateGraph(State)
    builder.add_node("say", lambda state: {"said": WORD})
    builder.add_edge(START, "say")
    graph = builder.compile()
    """
)
PYPROJECT = '[project]\nname = "clone-agent"\nversion = "0.1"\n'


def clone(folder, files, manifest):
    """The settings of a worker that runs this project."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    path = folder / "langgraph.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest))
    return load_settings({"langgraph_json": str(path)})


async def said(settings, name="agent"):
    async with load_project(settings).open(name, {"configurable": {}}) as graph:
        return (await graph.ainvoke({}))["said"]


def checked(settings, capsys):
    """Whether ``check`` finds that the graphs load, and the lines that follow the first."""
    ok = check_graphs(settings)
    _, *notes = capsys.readouterr().out.splitlines()
    return ok, [note.strip() for note in notes]


async def test_a_src_layout_without_its_install(tmp_path, capsys):
    settings = clone(
        tmp_path,
        {
            "pyproject.toml": PYPROJECT + 'dependencies = ["langgraph>=0.2", "clone-agent[dev]"]\n',
            "src/clone_src/state.py": STATE + "WORD = 'src'\n",
            "src/clone_src/graph.py": "from clone_src.state import WORD, State\n" + GRAPH,
        },
        {"dependencies": ["."], "graphs": {"agent": "./src/clone_src/graph.py:graph"}},
    )
    assert await said(settings) == "src"
    assert checked(settings, capsys) == (True, [])


@pytest.mark.parametrize(
    ("pyproject", "folder"),
    [
        ('[tool.setuptools.packages.find]\nwhere = ["lib"]', "lib"),
        ('[tool.setuptools.package-dir]\n"" = "python"', "python"),
        ('[tool.setuptools.package-dir]\nclone_named = "code/clone_named"', "code"),
        ('[tool.poetry]\nname = "x"\npackages = [{include = "clone_named", from = "backend"}]', "backend"),
        ('[tool.hatch.build.targets.wheel]\npackages = ["app/clone_named"]', "app"),
        ('[tool.uv.build-backend]\nmodule-root = "modules"', "modules"),
        ('[tool.pdm.build]\npackage-dir = "pdm"', "pdm"),
    ],
)
async def test_a_layout_that_the_build_tool_names(tmp_path, pyproject, folder):
    settings = clone(
        tmp_path,
        {
            "pyproject.toml": pyproject,
            f"{folder}/clone_named/__init__.py": "",
            f"{folder}/clone_named/state.py": STATE + "WORD = 'named'\n",
            "agent.py": "from clone_named.state import WORD, State\n" + GRAPH,
        },
        {"dependencies": ["."], "graphs": {"agent": "./agent.py:graph"}},
    )
    assert await said(settings) == "named"


@pytest.mark.parametrize("spelling", ["agents", "./agents", "agents/", "../project/agents"])
async def test_a_dependency_folder_in_any_spelling(tmp_path, spelling):
    settings = clone(
        tmp_path / "project",
        {"agents/clone_words.py": "WORD = 'spelt'\n", "agent.py": "from clone_words import WORD\n" + STATE + GRAPH},
        {"dependencies": [spelling], "graphs": {"agent": "./agent.py:graph"}},
    )
    assert await said(settings) == "spelt"


async def test_the_manifests_folder_counts_without_dependencies(tmp_path, monkeypatch):
    settings = clone(
        tmp_path / "project",
        {"clone_words.py": "WORD = 'root'\n", "agent.py": "from clone_words import WORD\n" + STATE + GRAPH},
        {"graphs": {"agent": "agent.py:graph"}},
    )
    monkeypatch.chdir(tmp_path)
    assert await said(settings) == "root"


WORKSPACE = {
    "pyproject.toml": '[tool.uv.workspace]\nmembers = ["packages/*"]\nexclude = ["packages/old"]\n',
    "packages/main/pyproject.toml": (
        '[project]\nname = "Clone_Main"\ndependencies = ["clone-shared", "not-there-at-all"]\n'
        "[tool.uv.sources]\nclone-shared = {workspace = true}\n"
    ),
    "packages/main/clone_main/__init__.py": "",
    "packages/main/clone_main/graph.py": "from clone_shared.words import WORD\n" + STATE + GRAPH,
    "packages/shared/pyproject.toml": '[project]\nname = "clone.shared"\n',
    "packages/shared/src/clone_shared/words.py": "WORD = 'workspace'\n",
    "packages/unused/pyproject.toml": '[project]\nname = "unused"\ndependencies = ["nor-this"]\n',
    "packages/old/pyproject.toml": '[project]\nname = "clone-shared"\n',
}


@pytest.mark.parametrize(
    "manifest",
    [
        {
            "source": {"kind": "uv", "root": ".", "package": "clone-main"},
            "graphs": {"agent": "./packages/main/clone_main/graph.py:graph"},
        },
        {"source": {"kind": "uv", "root": ".", "package": "clone-main"}, "graphs": {"agent": "clone_main.graph:graph"}},
        {
            "dependencies": ["packages/main"],
            "graphs": {"agent": "./packages/main/clone_main/graph.py:graph"},
        },
    ],
)
async def test_a_uv_workspace(tmp_path, capsys, manifest):
    settings = clone(tmp_path, WORKSPACE, manifest)
    assert await said(settings) == "workspace"
    ok, notes = checked(settings, capsys)
    assert (ok, notes) == (
        True,
        ["dependency 'not-there-at-all' is not installed here: pip install not-there-at-all"],
    )


def test_a_uv_source_that_is_not_there_is_a_line(tmp_path, capsys):
    files = WORKSPACE | {"agent.py": "WORD = ''\n" + STATE + GRAPH}
    graphs = {"agent": "./agent.py:graph"}
    settings = clone(tmp_path, files, {"source": {"kind": "uv", "package": "clone-mian"}, "graphs": graphs})
    ok, notes = checked(settings, capsys)
    assert ok
    assert "has no package 'clone-mian'; it has: clone-main, clone-shared, unused" in notes[0]
    settings = clone(tmp_path, files, {"source": {"kind": "uv", "root": "../gone"}, "graphs": graphs})
    assert "key 'source': there is no folder" in checked(settings, capsys)[1][0]


async def test_what_requirements_txt_asks_for_and_is_not_here(tmp_path, capsys):
    settings = clone(
        tmp_path,
        {
            "requirements.txt": "-r more.txt\n-e ./local\n# a comment\nlanggraph  # here\n"
            "clone-gone==1.2 --hash=sha256:00\nnever; python_version < '3'\n--extra-index-url https://x\n",
            "more.txt": "clone-other[extra]>=2,\\\n  <3\npytest<1\n-r requirements.txt\n",
            "local/clone_local.py": "WORD = 'required'\n",
            "agent.py": "from clone_local import WORD\n" + STATE + GRAPH,
        },
        {"dependencies": [".", "clone-third"], "graphs": {"agent": "./agent.py:graph"}},
    )
    assert await said(settings) == "required"
    ok, (absent, other) = checked(settings, capsys)
    assert ok
    assert absent == (
        "dependencies 'clone-third', 'clone-other[extra]<3,>=2', 'clone-gone==1.2' are not installed here: "
        "pip install clone-third 'clone-other[extra]<3,>=2' clone-gone==1.2"
    )
    assert other.startswith("not installed as the project asks: pytest<1 (")


async def test_relative_imports_in_a_package(tmp_path):
    settings = clone(
        tmp_path,
        {
            "clone_rel/__init__.py": "",
            "clone_rel/utils/__init__.py": "",
            "clone_rel/utils/state.py": STATE + "WORD = 'relative'\n",
            "clone_rel/agent.py": "from .utils.state import WORD, State\n" + GRAPH,
        },
        {"dependencies": ["."], "graphs": {"agent": "./clone_rel/agent.py:graph"}},
    )
    assert await said(settings) == "relative"
    assert "clone_rel.agent" in sys.modules


async def test_a_file_named_like_a_package_hides_it_from_nobody(tmp_path):
    settings = clone(
        tmp_path,
        {
            "json.py": "raise RuntimeError('shadowed')\n",
            "langgraph/__init__.py": "raise RuntimeError('shadowed')\n",
            "agent.py": "import json, tabulate\nWORD = json.dumps(tabulate.__name__)\n" + STATE + GRAPH,
            "tabulate.py": "raise RuntimeError('shadowed')\n",
        },
        {"dependencies": ["."], "graphs": {"agent": "./agent.py:graph"}},
    )
    sys.modules.pop("tabulate", None)
    assert await said(settings) == '"tabulate"'


async def test_a_package_named_like_an_installed_one(tmp_path, caplog):
    settings = clone(
        tmp_path,
        {
            "pluggy/__init__.py": "from .graph import WORD\n",
            "pluggy/state.py": STATE + "WORD = 'mine'\n",
            "pluggy/graph.py": "from .state import WORD, State\n" + GRAPH,
        },
        {"dependencies": ["."], "graphs": {"agent": "./pluggy/graph.py:graph"}},
    )
    installed = sys.modules["pluggy"]
    assert await said(settings) == "mine"
    assert sys.modules["pluggy"] is installed
    assert f"graph 'agent': 'pluggy' means another package here, so {tmp_path / 'pluggy'} is imported as" in caplog.text


async def test_packages_of_one_name_in_two_folders(tmp_path):
    graphs = {name: f"./{name}/clone_same/graph.py:graph" for name in ("left", "right", "third")}
    files = {f"{name}/clone_same/__init__.py": "" for name in graphs}
    files |= {f"{name}/clone_same/words.py": f"WORD = {name!r}\n" for name in graphs}
    files |= {f"{name}/clone_same/graph.py": "from .words import WORD\n" + STATE + GRAPH for name in graphs}
    settings = clone(tmp_path, files, {"dependencies": list(graphs), "graphs": graphs})
    assert [await said(settings, name) for name in graphs] == list(graphs)


def test_an_import_that_an_installed_package_answers_says_so(tmp_path):
    files = {"pluggy/__init__.py": "", "agent.py": "from pluggy.mine import WORD\n"}
    settings = clone(tmp_path, files, {"graphs": {"agent": "./agent.py:graph"}})
    with pytest.raises(GraphLoadError) as caught:
        load_project(settings)
    assert f"'pluggy' means {sys.modules['pluggy'].__file__} here, not {tmp_path / 'pluggy'}" in str(caught.value)
    settings = clone(tmp_path, files, {"graphs": {"agent": "pluggy:mine"}})
    with pytest.raises(GraphLoadError, match=r"'pluggy' means .* here, not .*: rename one, or remove the package"):
        load_project(settings)


def test_the_installed_package_may_lie_in_the_projects_folder(tmp_path, monkeypatch):
    files = {".venv/clone_dep.py": "", "clone_dep/__init__.py": "", "agent.py": "from clone_dep.mine import WORD\n"}
    settings = clone(tmp_path, files, {"graphs": {"agent": "./agent.py:graph"}})
    monkeypatch.syspath_prepend(tmp_path / ".venv")
    with pytest.raises(GraphLoadError, match=r"'clone_dep' means .*\.venv/clone_dep\.py here, not "):
        load_project(settings)


@pytest.mark.parametrize("example", [None, ".env.example", ".env.local.example"])
async def test_a_missing_env_file(tmp_path, capsys, example):
    files = {"agent.py": "WORD = 'no env'\n" + STATE + GRAPH} | ({example: "KEY=\n"} if example else {})
    settings = clone(tmp_path, files, {"graphs": {"agent": "./agent.py:graph"}, "env": "./.env.local"})
    assert await said(settings) == "no env"
    ok, (note,) = checked(settings, capsys)
    assert ok
    assert note.startswith(f"key 'env': there is no file {tmp_path / '.env.local'}: ")
    assert (f"copy {tmp_path}/{example} to it" if example else "write it") in note
    assert note.endswith("or set its variables in the worker's environment")


def test_what_is_missing_is_said_also_if_the_graphs_do_not_load(tmp_path, capsys):
    settings = clone(
        tmp_path,
        {"agent.py": "import clone_gone\n"},
        {"dependencies": [".", "clone-gone"], "graphs": {"agent": "./agent.py:graph"}, "auth": {"path": "a.py:a"}},
    )
    ok, notes = checked(settings, capsys)
    assert not ok
    assert notes == [
        "key 'auth' is not served: who may write to the events topic may run its graphs (Kafka's ACLs)",
        "dependency 'clone-gone' is not installed here: pip install clone-gone",
    ]


def test_a_variable_of_the_project_is_read_as_dotenv_reads_it(tmp_path):
    env = "export CLONE_A='one two'\nCLONE_B=\"${CLONE_A}!\"\nCLONE_C=3 # three\n"
    files = {"my.env": env, "agent.py": "WORD = ''\n" + STATE + GRAPH}
    load_project(clone(tmp_path, files, {"graphs": {"agent": "./agent.py:graph"}, "env": "my.env"}))
    assert [os.environ[f"CLONE_{name}"] for name in "ABC"] == ["one two", "one two!", "3"]
