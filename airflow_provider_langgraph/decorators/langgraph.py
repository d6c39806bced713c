"""``@task.langgraph``: a function makes the input of a graph, and its task returns the graph's result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from airflow.providers.common.compat.sdk import DecoratedOperator, task_decorator_factory

from airflow_provider_langgraph.airflow_compat.versions import determine_kwargs
from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.arguments import truth
from airflow_provider_langgraph.tasks.checked_arguments import require_known_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk.bases.decorator import Task

__all__ = ["langgraph_task"]

FParams = ParamSpec("FParams")
FReturn = TypeVar("FReturn")

_NO_INPUT = (
    "@task.langgraph takes no argument input: the decorated function returns the graph's input. Remove input=..."
)


class _LangGraphDecoratedOperator(DecoratedOperator, LangGraphTriggerOperator):
    """The task of a decorated function: calls it, then does what :class:`LangGraphTriggerOperator` does.

    What the function returns is no template field: it is sent as it is. A resumed task does not call it again.
    """

    custom_operator_name = "@task.langgraph"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in LangGraphTriggerOperator.template_fields if name != "input"),
    )
    template_fields_renderers = {  # noqa: RUF012 - as Airflow declares it
        **DecoratedOperator.template_fields_renderers,
        **{name: kind for name, kind in LangGraphTriggerOperator.template_fields_renderers.items() if name != "input"},
    }

    def __init__(self, *, python_callable: Callable[..., Any], **kwargs: Any) -> None:
        if "input" in kwargs:
            raise SettingsError(_NO_INPUT)
        super().__init__(python_callable=python_callable, **kwargs)

    def execute(self, context: Context) -> Any:
        """Call the function, and ask the agent with what it returned."""
        self.input = self._made_input(context)
        return super().execute(context)

    def _made_input(self, context: Context) -> Any:
        given = {**context, **self.op_kwargs}  # a copy: an argument may have the name of one of Airflow's own
        named = determine_kwargs(self.python_callable, self.op_args, given)
        made = self.python_callable(*self.op_args, **named)
        name = _name(self.python_callable)
        if made is None:
            raise SettingsError(f"{name}() returned None. Return the graph's input; for an empty input return {{}}")
        if inspect.iscoroutine(made):
            made.close()
            raise _async_function(name)
        if isinstance(made, Generator):
            raise _generator_function(name)
        return made

    @property
    def _author_names(self) -> Mapping[str, str]:
        return {"input": f"input (from {_name(self.python_callable)}())"}


@overload
def langgraph_task(python_callable: Callable[FParams, FReturn]) -> Task[FParams, FReturn]: ...


@overload
def langgraph_task(
    *, multiple_outputs: bool | None = False, **kwargs: Any
) -> Callable[[Callable[FParams, FReturn]], Task[FParams, FReturn]]: ...


def langgraph_task(python_callable: Any = None, *, multiple_outputs: bool | None = False, **kwargs: Any) -> Any:
    """Make a task of a function that returns the input of a graph; the task returns the graph's result.

    Called for each try of the task, but not again when a deferred task resumes.

    :param python_callable: the function. It is no generator and not async.
    :param multiple_outputs: True: the result, a mapping, is also stored as one XCom for each of its keys. It is never
        derived from the function's annotation, which describes the input.
    :param kwargs: the arguments of :class:`LangGraphTriggerOperator` without ``input``, and Airflow's own.
    :raises SettingsError: an argument or the function is wrong; names it and the remedy.
    """
    if "input" in kwargs:
        raise SettingsError(_NO_INPUT)
    if python_callable is not None and not callable(python_callable):
        raise SettingsError(
            f"@task.langgraph takes named arguments only, not {python_callable!r}. "
            "Name the graph with @task.langgraph(graph='...')"
        )
    require_known_arguments(_LangGraphDecoratedOperator, kwargs)

    def decorate(function: Callable[FParams, FReturn]) -> Any:
        _require_plain(function)
        return task_decorator_factory(
            function,
            multiple_outputs=multiple_outputs is not None and truth("multiple_outputs", multiple_outputs),
            decorated_operator_class=_LangGraphDecoratedOperator,
            **kwargs,
        )

    return decorate if python_callable is None else decorate(python_callable)


def _require_plain(function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise _async_function(_name(function))
    if inspect.isgeneratorfunction(function):
        raise _generator_function(_name(function))


def _async_function(name: str) -> SettingsError:
    return SettingsError(
        f"{name}() is async, and @task.langgraph takes plain functions only. Write def {name}(...), and call what must "
        "be awaited with asyncio.run(...), or in a @task before it"
    )


def _generator_function(name: str) -> SettingsError:
    return SettingsError(
        f"{name}() is a generator, and the input of a graph is one value. Return it whole: a mapping, or a list"
    )


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
