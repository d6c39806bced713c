from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest
from langgraph.store.base.embed import ensure_embeddings

from langgraph_worker.broker.kafka.preflight import check_topics
from langgraph_worker.cli.check import _describe, check_traces, clock_risk, describe_opened_store, describe_store
from langgraph_worker.cli.check_memory import describe_memory
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.errors import WorkerError
from langgraph_worker.graphs.memory_config import MemoryConfig, MemoryIndex
from langgraph_worker.runtime.make_store import make_store
from langgraph_worker.settings.explain import documentation
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings


@pytest.fixture
def settings(monkeypatch):
    for setting in documentation():
        monkeypatch.delenv(setting.env, raising=False)
    return load_settings({"fleet": "risk"})


def worker(name: str, topic: str) -> WorkerInfo:
    return WorkerInfo(name, "1.0", topic, "group", {})


def test_the_workers_of_the_fleet_are_counted(settings):
    known = [worker("a", "risk.workflow-events"), worker("b", "risk.workflow-events")]
    assert describe_store("store", known, {"a"}, settings) == "store, schema up to date, 2 workers"


def test_a_member_with_another_store_is_refused(settings):
    with pytest.raises(WorkerError, match=r"store does not know b, now in group risk\.langgraph-consumer-group"):
        describe_store("store", [worker("a", "risk.workflow-events")], {"a", "b"}, settings)


def test_a_store_that_serves_another_fleet_is_reported(settings):
    known = [worker("a", "risk.workflow-events"), worker("b", "workflow-events")]
    text = describe_store("store", known, {"a"}, settings)
    assert "2 workers; some read workflow-events and not risk.workflow-events: " in text
    assert "give it another store" in text


def test_an_index_that_the_store_can_keep_is_named(settings, tmp_path):
    found = settings.model_copy(update={"store_url": f"sqlite:///{tmp_path}/store.db"})
    assert describe_memory(found, MemoryConfig()) == ""
    assert not (tmp_path / "store.db").exists()
    config = MemoryConfig(MemoryIndex(3, ensure_embeddings(lambda texts: [[0.0] * 3 for _ in texts])))
    assert describe_memory(found, config) == "long-term memory finds by meaning: store.index, 3 dimensions"


def test_an_index_is_refused_with_the_stores_own_error(settings, tmp_path):
    found = settings.model_copy(update={"store_url": f"sqlite:///{tmp_path}/none/store.db"})
    config = MemoryConfig(MemoryIndex(3, ensure_embeddings(lambda texts: [[0.0] * 3 for _ in texts])))
    with pytest.raises(WorkerError, match=r"the directory of the run store .* does not exist"):
        describe_memory(found, config)


def test_a_store_that_does_not_exist_yet_is_examined_and_not_made(settings, tmp_path):
    found = settings.model_copy(update={"store_url": f"sqlite:///{tmp_path}/store.db"})
    config = MemoryConfig(MemoryIndex(3, ensure_embeddings(lambda texts: [[0.0] * 3 for _ in texts])))
    assert describe_opened_store(found, ()) == (
        f"sqlite:///{tmp_path}/store.db does not exist yet: the worker's first start makes it"
    )
    assert describe_memory(found, config)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_not_there_is_no_excuse_for_a_member_that_has_another_one(settings, tmp_path):
    found = settings.model_copy(update={"store_url": f"sqlite:///{tmp_path}/store.db"})
    with pytest.raises(WorkerError, match=r"store\.db does not know b, now in group"):
        describe_opened_store(found, {"b"})


def test_a_store_in_a_folder_that_does_not_exist_is_refused(settings, tmp_path):
    found = settings.model_copy(update={"store_url": f"sqlite:///{tmp_path}/none/store.db"})
    with pytest.raises(WorkerError, match=r"the directory of the run store .*/none/store\.db does not exist"):
        describe_opened_store(found, ())


def test_a_store_that_exists_is_opened_itself(settings, tmp_path):
    found = settings.model_copy(update={"store_url": f"sqlite:///{tmp_path}/store.db"})
    asyncio.run(_make(found))
    assert describe_opened_store(found, ()) == f"sqlite:///{tmp_path}/store.db, schema up to date, 0 workers"


async def _make(settings: WorkerSettings) -> None:
    store = make_store(settings)
    await store.open()
    await store.close()


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        ({"risk.workflow-events"}, "or this user may not see them. Create them"),
        ({"risk.workflow-events", "risk.workflow-control", "risk.workflow-results"}, "see it. Create it"),
    ],
)
def test_what_is_missing_is_one_topic_or_several(settings, topics, said):
    class Admin:
        def missing(self, needed, cluster):
            return sorted(needed - topics)

    with pytest.raises(WorkerError, match=r"^no topics? risk\.workflow-") as caught:
        check_topics(Admin(), None, settings)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_a_misspelt_variable_is_a_warning_on_a_line_of_its_own(settings, monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_HELTH_PORT", "8080")
    monkeypatch.setenv("LANGGRAPH_WORKER_XYZ", "1")
    assert _describe({}).split("\n")[1:] == [
        "warning: LANGGRAPH_WORKER_HELTH_PORT is set, but no setting has this name. "
        "Did you mean LANGGRAPH_WORKER_HEALTH_PORT?",
        "warning: LANGGRAPH_WORKER_XYZ is set, but no setting has this name.",
    ]


def test_one_setting_is_no_plural(settings, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "b:9092")
    assert _describe({}).startswith("1 setting from the environment, 0 from flags")


@pytest.mark.parametrize(("seconds", "says"), [(5, ""), (-5, ""), (6, "6 s ahead of this"), (-90, "90 s behind this")])
def test_a_store_with_another_clock_is_named(seconds, says):
    found = clock_risk(timedelta(seconds=seconds))
    assert says in found
    assert bool(found) is bool(says)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, ""),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
            "traces  ok   to otlp_proto_http, without prompts and answers\n",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            "traces  ok   to nowhere\n             warning: OTEL_TRACES_EXPORTER asks for the exporter zipkin",
        ),
    ],
)
def test_where_traces_go_is_said_if_anything_is_set(monkeypatch, capsys, environ, said):
    for name in list(os.environ):
        if name.startswith(("OTEL_", "LANGFUSE_")):
            monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    check_traces()
    printed = capsys.readouterr().out
    assert printed.startswith(said)
    assert bool(printed) is bool(said)
