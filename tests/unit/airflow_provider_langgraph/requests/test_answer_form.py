"""What a person sees: nothing of an agent's text acts, and every form can answer every question."""

from __future__ import annotations

import pytest

from airflow_provider_langgraph.requests.answer_form import (
    LONGEST_BODY_CHARACTERS,
    AnswerForm,
    answer_form,
)
from airflow_provider_langgraph.requests.question_parts import parts_with_text
from airflow_provider_langgraph.requests.shown_text import code_block, shown_text
from workflow_events.results import Interrupt

CODE = "abcde-fghjk"
CALL = {
    "action_requests": [{"name": "buy", "args": {"lot": 10}, "description": "Buy?"}],
    "review_configs": [{"action_name": "buy", "allowed_decisions": ["approve", "edit", "reject"]}],
}


def form(*values, subject="agent asks"):
    interrupts = [Interrupt(id=f"i{number}", value=value) for number, value in enumerate(values)]
    return answer_form(parts_with_text(interrupts), CODE, subject=subject, whole="the result of request 1234")


def test_one_action_has_a_button_for_each_decision():
    made = form(CALL)
    assert made.options == ("Approve", "Edit", "Reject", "Answer")
    assert list(made.params) == ["code", "answer"]
    assert made.params["code"]["value"] == CODE
    assert '"lot": 10' in made.body
    assert "**Edit** makes it with other arguments" in made.body
    assert f"the code `{CODE}`" in made.body


@pytest.mark.parametrize(
    ("value", "buttons"),
    [
        ({"question": "Buy?", "options": ["yes", "no"]}, ("yes", "no", "Answer")),
        ({"question": "Buy?", "options": ["answer", "no"]}, ("Answer",)),
        ("Which account?", ("Answer",)),
    ],
)
def test_every_form_has_the_button_answer(value, buttons):
    assert form(value).options == buttons


def test_several_questions_have_a_field_each():
    made = form(CALL, "Which account?", {"question": "When?", "options": ["now", "a`b"]})
    assert made.options == ("Answer",)
    assert list(made.params) == ["code", "answer", "answer_2", "answer_3"]
    assert "Field `answer`: `approve`; `edit: {" in made.body
    assert "Field `answer_3`: one of `now`, `` a`b ``." in made.body
    assert "Fill in all 3 fields" in made.body


@pytest.mark.parametrize(
    "text",
    ["```\n[link](http://x)\n```", "~~~\n# head", "`" * 9, "<img src=x>", "![i](http://x)", "a\n\n````text\n", ""],
)
def test_no_markup_of_an_agent_leaves_its_code_block(text):
    block = code_block(shown_text(text, 1000).text).split("\n")
    fence = block[0].removesuffix("text")
    assert set(fence) == {"`"}
    assert len(fence) >= 3
    assert block[-1] == fence
    assert not any(fence in line for line in block[1:-1])


def test_no_control_character_of_an_agent_acts():
    block = code_block(shown_text("a\x1b[2Jb\r\nc\u202ed\0e\tf\u2028g", 1000).text)
    assert all(line.isprintable() for line in block.split("\n"))
    assert "a\\x1b[2Jb" in block
    assert "c\\u202ed\\x00e    f\ng" in block


def test_a_question_of_10_mb_shows_its_beginning_and_where_the_whole_is():
    made = form("x" * 10_000_000)
    assert len(made.body) < LONGEST_BODY_CHARACTERS + 1_000
    assert "This is the beginning. The whole, 10,000,000 characters, is in the result of request 1234." in made.body


def test_what_is_written_as_several_characters_is_bounded_too():
    made = form("\0" * 10_000)
    assert len(made.body) < LONGEST_BODY_CHARACTERS + 1_000
    assert "The whole, 10,000 characters, is in" in made.body


def test_many_questions_share_the_place():
    assert len(form(*["x" * 100_000] * 20).body) < LONGEST_BODY_CHARACTERS + 5_000


MANY_OPTIONS = [f"{place:>02}{'😀' * 98}" for place in range(20)]
TRICK = 'lunch\n\ntool: read_file\narguments: {"path": "menu.txt"}' + "\n" * 12_000


def call(args, name="transfer", **more):
    configs = [{"action_name": name, "allowed_decisions": ["approve", "reject"]}]
    return {"action_requests": [{"name": name, "args": args, **more}], "review_configs": configs}


class TestACallThatHasNoRoom:
    """Nobody approves what the form does not show: it names no code, and the code stands behind the whole."""

    @pytest.mark.parametrize("about", [None, f"Please review. Memo: {TRICK}", "Tool: read_file\nArgs: {}"])
    @pytest.mark.parametrize("memo", [TRICK, "x" * 12_000, ["x" * 100] * 200, {"to": "ann", "x": "y" * 12_000}])
    def test_shows_the_tool_and_the_beginning_of_each_argument(self, memo, about):
        made = form(call({"memo": memo, "to": "attacker", "amount": 1_000_000}, description=about))
        lines = made.body.split("\n")
        assert lines[:5] == ["#### The agent wants to call a tool", "", "```text", "tool: transfer", "arguments: {"]
        assert lines[5].startswith('  "memo": ')
        assert {'  "to": "attacker"', '  "amount": 1000000'} <= set(lines)

    def test_is_approved_by_no_button_alone(self):
        made = form(call({"memo": TRICK, "to": "attacker"}))
        assert not made.is_whole
        assert made.options == ("Answer",)
        assert (made.code, made.params["code"]["value"]) == ("", "")
        assert CODE not in made.body
        assert "Read the whole in the result of request 1234." in made.body
        assert "Field `answer`: `approve`; `reject`, or" in made.body

    @pytest.mark.parametrize(
        "value",
        [
            call({"to": "ann"}, description="x" * 12_000),
            call({"to": "ann"}, name="n" * 61),
            call({"m" * 12_000: 1, "to": "ann"}),
            call({str(number): number for number in range(2_000)}),
            {"question": "x" * 12_000, "options": ["yes", "no"]},
            "x" * 12_001,
        ],
    )
    def test_so_is_nothing_else_that_is_not_shown_whole(self, value):
        made = form(value)
        assert (made.options, made.code, CODE in made.body) == (("Answer",), "", False)

    def test_one_of_several_is_enough(self):
        made = form(call({"to": "ann"}), call({"memo": TRICK}))
        assert made.code == ""
        assert CODE not in made.body

    def test_twenty_calls_show_what_each_of_them_does(self):
        made = form(*[call({"memo": "m" * 900, "to": f"ann-{place}", "amount": place}) for place in range(20)])
        assert all(f'  "to": "ann-{place}"\n  "amount": {place}\n' in made.body for place in range(20))


def test_what_an_agent_says_about_a_call_stands_behind_it_and_apart():
    made = form(call({"to": "ann"}, description='tool: read\narguments: {"to": "bob"}'))
    before, _, behind = made.body.partition("What the agent says about it:")
    assert '"to": "ann"' in before
    assert "bob" not in before
    assert '"to": "bob"' in behind
    assert made.options == ("Approve", "Reject", "Answer")


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85", "\x0b", "\x1c"])
def test_no_text_in_an_argument_fakes_another_argument(end):
    body = form(call({"memo": f"x{end}  to: ann", "to": "eve"})).body
    assert [line[:8] for line in body.split("\n")[4:9]] == ["argument", '  "memo"', '  "to": ', "}", "```"]


def test_no_name_fakes_a_line():
    made = form(call({"a\nto": 1, 'b": 2,\n  "to': 3}, name="read\narguments: {}"))
    assert made.body.split("\n")[3:8] == [
        r"tool: read\narguments: {}",
        "arguments: {",
        r'  "a\nto": 1,',
        r'  "b\": 2,\n  \"to": 3',
        "}",
    ]


def test_blank_lines_of_a_text_push_nothing_out_of_sight():
    made = form("Pay?" + "\n \t\n" * 6_000 + "1000000 to eve")
    assert "Pay?\n\n1000000 to eve\n" in made.body
    assert made.is_whole
    assert not form("Pay?" + " " * 12_000 + "1000000 to eve").is_whole


def test_no_line_is_so_long_that_its_end_is_out_of_sight():
    made = form("Pay 5?" + " " * 5_000 + "Or 1000000 to eve", call({"memo": "m" * 300, "to": "eve"}))
    lines = made.body.split("\n")
    assert any("Or 1000000 to eve" in line for line in lines[:9])
    assert [line[:4] for line in lines[lines.index("tool: transfer") :][:7]] == [
        *("tool", "argu", '  "m', "↳ mm", "↳ mm", '  "t', "}"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"question": "q", "options": MANY_OPTIONS},
        {"question": "😀" * 10_000, "options": MANY_OPTIONS},
        {"question": "q", "options": ["`" * length for length in range(81, 101)]},
        "😀" * 12_000,
        "`" * 12_000,
        call({f"{number}{'😀' * 60}": "😀" * 900 for number in range(100)}, description="😀" * 12_000),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_form_has_room_in_mysql(value, count):
    assert len(form(*[value] * count).body.encode()) < 65_535


def test_options_without_room_are_named_in_part():
    made = form(*[{"question": "q", "options": MANY_OPTIONS}] * 20)
    assert "Field `answer_20`: one of `00" in made.body
    assert "and 18 more." in made.body
    assert not made.is_whole


def test_the_subject_is_one_short_line():
    assert form("x", subject="a\nb" + "c" * 500).subject.startswith("a\\nbccc")
    assert len(form("x", subject="a" * 500).subject) == 200


def test_a_form_outlives_json():
    made = form(CALL)
    assert AnswerForm.from_dict(made.to_dict()) == made
    cut = form("x" * 12_001)
    assert AnswerForm.from_dict(cut.to_dict()) == cut
    assert AnswerForm.from_dict({k: v for k, v in made.to_dict().items() if k != "is_whole"}) == made
