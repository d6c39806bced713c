from dataclasses import dataclass
from typing import TypedDict


@dataclass
class Ticket:
    title: str
    closed: bool = False


class State(TypedDict, total=False):
    title: str
    ticket: Ticket
