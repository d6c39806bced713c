from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID

import pytest

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.link_urls import FIELDS, LinkFields, is_configured, link_url

REQUEST = UUID("5b1e5c1c-0a8e-5b1f-9f65-8d6f0f2f4b11")
TI = SimpleNamespace(dag_id="report", run_id="manual__2026-11-30T10:00:00+00:00", task_id="ask", map_index=-1)


def fields(**known):
    return LinkFields.of(TI, REQUEST, **known)


@pytest.fixture
def configure(monkeypatch):
    return lambda value, option="run_url": monkeypatch.setenv(f"AIRFLOW__LANGGRAPH__{option.upper()}", value)


def test_without_a_template_there_is_no_link():
    assert link_url("run_url", fields()) == ""
    assert not is_configured("run_url")


def test_every_field_is_filled_in(configure):
    configure("https://runs.example.com/" + "/".join(f"{{{name}}}" for name in FIELDS))
    everything = fields(thread_name="talk", thread_id="t-1", trace_id="a" * 32)
    assert link_url("run_url", everything) == (
        f"https://runs.example.com/{REQUEST}/report/manual__2026-11-30T10%3A00%3A00%2B00%3A00/ask/-1/talk/t-1/"
        + "a" * 32
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a/../b?c#d&e=f", "a%2F..%2Fb%3Fc%23d%26e%3Df"),
        ("Kundengespräch 7", "Kundengespr%C3%A4ch%207"),
        ("{run_id}%", "%7Brun_id%7D%25"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
    ],
)
def test_a_value_cannot_leave_its_place(configure, value, written):
    configure("https://runs.example.com/{thread_name}")
    assert link_url("run_url", fields(thread_name=value)) == f"https://runs.example.com/{written}"


@pytest.mark.parametrize("value", [".", "..", "\ud800"])
@pytest.mark.parametrize(
    "template", ["https://h.example.com/threads/{thread_name}/view", "https://h.example.com/{thread_name}?a=b"]
)
def test_a_value_that_a_browser_would_walk_by_or_that_no_url_holds_makes_no_link(configure, template, value):
    configure(template)
    assert link_url("run_url", fields(thread_name=value)) == ""


def test_dots_beside_other_text_stay(configure):
    configure("https://h.example.com/v1.2/x-{thread_name}?name={thread_name}")
    assert link_url("run_url", fields(thread_name="..")) == "https://h.example.com/v1.2/x-..?name=.."


@pytest.mark.parametrize("unknown", ["thread_name", "thread_id", "trace_id"])
def test_a_link_that_needs_an_unknown_value_is_not_shown(configure, unknown):
    configure(f"https://runs.example.com/{{correlation_id}}/{{{unknown}}}", "thread_url")
    assert link_url("thread_url", fields()) == ""
    assert is_configured("thread_url")


def test_doubled_braces_are_no_field(configure):
    configure("http://[::1]:8080/search?q={{{task_id}}}")
    assert link_url("run_url", fields()) == "http://[::1]:8080/search?q={ask}"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (
            "https://runs.example.com/{corelation_id}",
            "there is no field {corelation_id}. Did you mean 'correlation_id'?",
        ),
        ("https://runs.example.com/{correlation_id.__class__}", "there is no field {correlation_id.__class__}"),
        ("https://runs.example.com/{correlation_id!r}", "there is no field {correlation_id!r}"),
        ("https://runs.example.com/{map_index:099}", "there is no field {map_index:099}"),
        ("https://runs.example.com/{}", "there is no field {}"),
        ("https://runs.example.com/{0}", "there is no field {0}"),
        ("https://runs.example.com/{task_id", "for braces that are no field"),
        ("https://runs.example.com/task_id}", "for braces that are no field"),
        ("ftp://runs.example.com/{task_id}", "must begin with http:// or https:// and a host"),
        ("javascript:alert('{task_id}')", "must begin with http:// or https:// and a host"),
        ("//runs.example.com/{task_id}", "must begin with http:// or https:// and a host"),
        ("https:///{task_id}", "must begin with http:// or https:// and a host"),
        ("https://{task_id}.example.com/", "in which no field stands"),
        ("https://{task_id}", "in which no field stands"),
        ("https://runs.example.com/a b/{task_id}", "a blank, a quote"),
        ('https://runs.example.com/"{task_id}', "a blank, a quote"),
    ],
)
def test_a_wrong_template_names_option_place_and_remedy(configure, template, says):
    configure(template, "trace_url")
    with pytest.raises(SettingsError) as refused:
        link_url("trace_url", fields())
    assert str(refused.value).startswith("[langgraph] trace_url of Airflow's configuration: ")
    assert says in str(refused.value)


def test_a_template_that_airflow_cannot_read_counts_as_configured(monkeypatch):
    def get(*_, **__):
        raise RuntimeError("'%' must be followed by '%' or '(', found: '%2'")

    monkeypatch.setattr("airflow_provider_langgraph.requests.link_urls.conf", SimpleNamespace(get=get))
    assert is_configured("run_url")
    with pytest.raises(SettingsError, match=r"\[langgraph\] run_url .* cannot be read: .*write %% for %"):
        link_url("run_url", fields())


def test_an_unmapped_task_of_an_older_airflow_has_the_index_of_one():
    assert LinkFields.of(SimpleNamespace(**vars(TI) | {"map_index": None}), REQUEST).map_index == -1
