"""Factories of graphs: how they are called, and the graph in what they give."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph_sdk.runtime import ServerRuntime, _ExecutionRuntime, _ReadRuntime

_MAX_WRAPPINGS = 4  # an awaitable of a context manager of a builder, and one to spare


async def made_by(factory: Callable[..., Any], config: RunnableConfig, runtime: Any, stack: AsyncExitStack) -> Any:
    """What a factory makes: a graph, or whatever else it gives.

    Inside of it LangGraph's ``get_config()`` gives the config.

    :param config: a copy of it is what the factory gets.
    :param runtime: see :func:`server_runtime`.
    :param stack: the factory's context managers end with it.
    """
    copied: RunnableConfig = {**config, "configurable": dict(config.get("configurable", {}))}
    with _as_current(copied):
        arguments = _arguments(factory, copied, runtime)
        if _is_async(factory):
            value = factory(**arguments)
        else:
            # A plain function may block (build a client, ask a server for its models): not on the event loop.
            value = await _in_thread(factory, **arguments)
        return await _unwrap(value, stack)


def server_runtime(store: BaseStore, context: Mapping[str, Any] | None) -> ServerRuntime[Any]:
    """What a factory gets as its runtime, as LangGraph's server has it: the context as a mapping, whatever its schema.

    :param context: None: the graph is looked at, not run; ``execution_runtime`` is None then.
    """
    if context is None:
        return _ReadRuntime(access_context="assistants.read", store=store)
    return _ExecutionRuntime(access_context="threads.create_run", store=store, context=dict(context))


@contextmanager
def _as_current(config: RunnableConfig) -> Iterator[None]:
    # Not in a task or context of its own: a context manager may have to end in the task in which it began, and what
    # it puts into context variables is for the run.
    token = var_child_runnable_config.set(config)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def _arguments(factory: Callable[..., Any], config: RunnableConfig, runtime: Any) -> dict[str, Any]:
    """The runtime is recognised by its annotation or name. An only parameter is the config otherwise, whatever its name
    and its default are; of several, each without a default.
    """
    parameters = inspect.signature(factory).parameters
    arguments: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if _is_runtime(parameter):
            arguments[name] = runtime
        elif len(parameters) == 1 or _is_config(parameter) or parameter.default is parameter.empty:
            arguments[name] = config
    return arguments


def _is_runtime(parameter: inspect.Parameter) -> bool:
    annotation = str(parameter.annotation)
    return "ServerRuntime" in annotation or "_ExecutionRuntime" in annotation or parameter.name == "runtime"


def _is_config(parameter: inspect.Parameter) -> bool:
    return "RunnableConfig" in str(parameter.annotation) or parameter.name == "config"


def _is_async(factory: Callable[..., Any]) -> bool:
    # @asynccontextmanager leaves a plain function around an asynchronous generator.
    inner = inspect.unwrap(factory)
    return any(
        inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate)
        for candidate in (factory, inner, getattr(factory, "__call__", None))  # noqa: B004 - an object with the method
    )


async def _unwrap(value: Any, stack: AsyncExitStack) -> Any:
    for _ in range(_MAX_WRAPPINGS):
        if isinstance(value, (Pregel, StateGraph)):
            break
        if inspect.isawaitable(value):
            value = await value
        elif inspect.isasyncgen(value):
            value = await stack.enter_async_context(asynccontextmanager(lambda generator=value: generator)())
        elif isinstance(value, AbstractAsyncContextManager):
            value = await stack.enter_async_context(value)
        elif isinstance(value, AbstractContextManager):
            value = await _enter_in_thread(value, stack)
    return value


async def _in_thread(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    def call() -> Any:
        try:
            return function(*arguments, **named)
        except StopIteration as error:
            # A future cannot carry it: its waiter would wait for ever.
            raise RuntimeError(f"{function!r} raised StopIteration") from error

    return await asyncio.to_thread(call)


async def _enter_in_thread(manager: AbstractContextManager[Any], stack: AsyncExitStack) -> Any:
    entered = await _in_thread(manager.__enter__)

    async def leave(*exception: Any) -> bool:
        return bool(await _in_thread(manager.__exit__, *exception))

    stack.push_async_exit(leave)
    return entered
