from __future__ import annotations

from pathlib import Path

import pytest

from langgraph_worker.api.access import Role
from langgraph_worker.api.tokens import TokenFile, UnreadableTokensError, digest_of, new_token, read_tokens
from langgraph_worker.errors import SettingsError


def entry(name: str = "desk", token: str = "secret", role: str = "viewer", more: str = "") -> str:
    return f'[[tokens]]\nname = "{name}"\nsha256 = "{digest_of(token)}"\nrole = "{role}"\n{more}\n'


def test_a_token_has_its_role_and_its_runs(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(entry(role="operator", more='graphs = ["triage"]\ndeployments = ["", "prod"]'))
    found = TokenFile(path).find("secret")
    assert found is not None
    assert (found.name, found.role) == ("desk", Role.OPERATOR)
    assert found.scope.includes("triage", "")
    assert not found.scope.includes("triage", None)
    assert found.scope.includes("triage", "prod")
    assert not found.scope.includes("triage", "test")
    assert not found.scope.includes("other", "prod")
    assert not found.scope.includes(None, "prod")
    assert TokenFile(path).find("Secret") is None
    assert TokenFile(path).find(digest_of("secret")) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tokens = 1", "tokens: Input should be a valid list"),
        ("[[token]]", "token is not known. Did you mean 'tokens'?"),
        (entry(more='grahps = ["a"]'), "tokens.0.grahps is not known. Did you mean 'graphs'?"),
        (entry(role="root"), "tokens.0.role: Input should be 'viewer', 'operator' or 'admin'"),
        (entry() + entry(token="other"), "tokens.1.name is that of 'desk' as well: give each token its own"),
        (entry() + entry(name="other"), "tokens.1.sha256 is that of 'desk' as well"),
        ('[[tokens]]\nname = "a"\nsha256 = "secret"\nrole = "viewer"', "must be 64 hexadecimal digits in lower case"),
        ("[[tokens]\n", "is not TOML: "),
        ("\ud800", "is not UTF-8"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(SettingsError) as error:
        TokenFile(path)
    assert str(error.value).startswith(f"LANGGRAPH_WORKER_API_TOKENS_FILE={path}: ")
    assert words in str(error.value)
    assert "secret" not in str(error.value)


def test_a_file_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tokens\.toml: No such file or directory"):
        TokenFile(tmp_path / "tokens.toml")


def test_an_empty_file_lets_nobody_in() -> None:
    assert read_tokens(b"") == []


def test_a_change_counts_within_a_second(tmp_path: Path) -> None:
    path, now = tmp_path / "tokens.toml", 0.0
    path.write_text(entry())
    tokens = TokenFile(path, lambda: now)
    path.write_text(entry("desk", "another"))
    assert tokens.find("secret") is not None  # not looked at again yet
    now = 1.0
    assert tokens.find("secret") is None
    assert tokens.find("another") is not None


def test_while_the_file_is_wrong_nobody_is_let_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, now = tmp_path / "tokens.toml", 0.0
    path.write_text(entry())
    tokens = TokenFile(path, lambda: now)
    path.write_text(entry() + "[[")
    for now in (1.0, 2.0, 3.0):  # noqa: B007 - the clock of the file reads it
        with pytest.raises(UnreadableTokensError):
            tokens.find("secret")
    path.unlink()
    now = 4.0
    with pytest.raises(UnreadableTokensError):
        tokens.find("secret")
    path.write_text(entry())
    now = 5.0
    assert tokens.find("secret") is not None
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 2
    assert "is not TOML" in said[0]
    assert said[1].endswith("No such file or directory. No token is valid until that is mended")


def test_the_same_file_again_is_valid_again(tmp_path: Path) -> None:
    path, now = tmp_path / "tokens.toml", 0.0
    path.write_text(entry())
    tokens = TokenFile(path, lambda: now)
    path.rename(tmp_path / "away")
    now = 1.0
    with pytest.raises(UnreadableTokensError):
        tokens.find("secret")
    (tmp_path / "away").rename(path)  # with the inode and the time that it had
    now = 2.0
    assert tokens.find("secret") is not None


def test_tokens_differ_and_are_long() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("lgw_") and len(token) == 47 for token in tokens)
