"""Which texts of a worker's settings and environment are secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.settings.known_secrets import known_secrets
from langgraph_worker.settings.load import load_settings


def found(environ: dict[str, str], **flags: Any) -> frozenset[str]:
    return known_secrets(load_settings(flags), environ)


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY", "ACME_APIKEY", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "GITHUB_TOKEN", "CLIENT_SECRET",
        "DB_PASSWORD", "PGPASSWORD", "SMTP_PASSWD", "SSH_PASSPHRASE", "SIGNING_KEY", "PRIVATE_KEY", "SENTRY_DSN",
        "AZURE_STORAGE_CONNECTION_STRING", "LANGFUSE_SECRET_KEY", "PROXY_AUTHORIZATION", "openai_api_key",
        "OPENAI_API_KEY_2", "AZURE_OPENAI_KEY", "AIRFLOW__CORE__FERNET_KEY", "AZURE_STORAGE_KEY", "DB_PASS",
        "GITHUB_PAT", "GOOGLE_CREDENTIALS_JSON", "SLACK_WEBHOOK_URL", "AWS_SESSION_TOKEN", "API_KEYS", "SUPABASE_JWT",
    ],
)  # fmt: skip
def test_a_variable_whose_name_says_that_it_is_a_secret(name: str) -> None:
    assert found({name: "s3cret-value"}) == {"s3cret-value"}


@pytest.mark.parametrize(
    "name",
    [
        "MAX_TOKENS",
        "TOKENIZERS_PARALLELISM",
        "HOME",
        "KEYBOARD",
        "MONKEY",
        "SECRETARY",
        "PASSWORD_FILE",
        "AUTHOR",
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_PORT",
        "SSH_AUTH_SOCK",
        "GPG_KEY",
        "XAUTHORITY",
        "LS_COLORS",
        "COMPASS",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "CORS_ALLOW_HEADERS",
        "PATH",
        "BYPASS",
    ],
)
def test_other_variables_are_none(name: str) -> None:
    assert found({name: "s3cret-value"}) == set()


@pytest.mark.parametrize("value", ["postgres", "production", "Password", "short-1", "12345678901", "", "        "])
def test_words_and_short_values_are_not_masked(value: str) -> None:
    assert found({"DB_PASSWORD": value}) == set()


@pytest.mark.parametrize("value", ["postgres1", "eight-ch", "averyverylongword", "123456789012", "CamelCase"])
def test_what_is_no_word_is_masked(value: str) -> None:
    assert found({"DB_PASSWORD": value}) == {value}


def test_the_password_of_an_address_as_it_is_and_decoded() -> None:
    assert found({"ANY_URL": "https://u:pa%2Fss%20word1@h/x"}) == {"pa%2Fss%20word1", "pa/ss word1"}
    assert found({"ANY_URL": "https://h/x", "OTHER": "://u:@", "ODD": "http://[u:passw0rd-1@"}) == {"passw0rd-1"}


def test_headers_are_taken_apart() -> None:
    headers = "authorization=Bearer%20tok-12345678,x-api-key=key-87654321"
    assert {"tok-12345678", "Bearer tok-12345678", "key-87654321"} <= found({"OTEL_EXPORTER_OTLP_HEADERS": headers})
    plain = "accept=application/json,x-tenant=desk-17-of-it"
    assert found({"HTTP_HEADERS": plain}) == set()  # texts of results may hold them


def test_the_settings_of_kafka_and_of_the_store() -> None:
    config = {
        "sasl.username": "the-user-name-1",
        "sasl.password": "kafka-s3cret",
        "ssl.key.pem": "-----BEGIN KEY-----\nabc\n",
        "sasl.oauthbearer.client.secret": "0auth-s3cret",
        "compression.type": "producer-default-9",
    }
    secrets = found(
        {},
        kafka_config=json.dumps(config),
        store_url="postgresql://agents:st0re-s3cret@a:5432,b:5432/x?sslpassword=tls-s3cret",
    )
    assert secrets == {"kafka-s3cret", config["ssl.key.pem"], "0auth-s3cret", "st0re-s3cret", "tls-s3cret"}


def test_a_file_that_is_there_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "key.json").touch()
    assert found({"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}) == set()
    assert found({"ACME_SECRET": "/b64/s3cret+value"}) == {"/b64/s3cret+value"}


def test_what_json_names_as_a_secret_and_every_address_in_a_text() -> None:
    connection = json.dumps({"conn_type": "kafka-broker-1", "password": "planted-s3cret", "port": 9092})
    assert found({"AIRFLOW_CONN_ACME": connection}) == {"planted-s3cret"}
    assert found({"ODD": "{no JSON", "LIST": "[1]"}) == set()
    assert found({"BROKERS": "amqp://u:first-pass1@a,amqp://u:second-pass2@b"}) == {"first-pass1", "second-pass2"}
