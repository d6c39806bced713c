"""The functional API: entrypoints with tasks, over mappings, texts and lists."""

from typing import Any

from langgraph.func import entrypoint, task
from langgraph.types import RetryPolicy, interrupt

_calls: dict[str, int] = {}


@task
def heading(topic: str) -> str:
    return f"# {topic}"


@task
async def line(topic: str, number: int) -> str:
    return f"{number}. {topic}"


@entrypoint()
async def essay(asked: dict[str, Any]) -> dict[str, Any]:
    top = await heading(asked["topic"])
    lines = [line(asked["topic"], number) for number in range(asked["lines"])]
    return {"text": [top, *[await one for one in lines]]}


@entrypoint()
def topic(topic: str) -> str:
    return heading(topic).result()


@entrypoint()
def count(messages: list[Any]) -> int:
    return len(messages)


@entrypoint()
def remembers(asked: dict[str, Any], *, previous: Any = None) -> Any:
    before = previous or []
    return entrypoint.final(value={"before": before, "now": asked["say"]}, save=[*before, asked["say"]])


@entrypoint()
def asks(asked: dict[str, Any]) -> dict[str, Any]:
    top = heading(asked["topic"]).result()
    ok = interrupt({"is this good?": top})
    return {"top": top, "ok": ok}


@task(retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.01, retry_on=ConnectionError))
def unsteady(name: str) -> int:
    _calls[name] = _calls.get(name, 0) + 1
    if _calls[name] < 3:
        raise ConnectionError("not yet")
    return _calls[name]


@entrypoint()
def tries(asked: dict[str, Any]) -> dict[str, Any]:
    return {"tries": unsteady(asked["name"]).result()}
