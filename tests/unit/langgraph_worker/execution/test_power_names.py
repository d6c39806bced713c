"""Which names move power, and which plain ones look like it."""

from __future__ import annotations

import pytest

from langgraph_worker.execution.power_names import moves_power

ENDPOINTS = [
    *("mcp_url", "mcpUrl", "mcpurl", "MCP_URL", "mcp_servers", "MCPServers", "mcpservers", "mcp_server_config"),
    *("webhook", "webhooks", "webhook_url", "webhookUrl", "callback", "callback_url", "redirect_uri"),
    *("connections", "connection", "db_connection", "connection_id", "servers", "server", "server_url", "smtp_server"),
    *("host", "hosts", "db_host", "LLMHost", "redis_hostname", "server_address", "proxy", "HTTPProxy", "proxy_config"),
    *("base_url_2", "baseURL2", "baseURLs", "api_base_1", "ollama_url", "deployment_url", "qdrant_url", "urls", "uri"),
    *(
        "proxy_settings",
        "gateway",
        "api_gateway",
        "callbackUrl",
        "webhookurl",
        "endpoint_override",
        "dsn",
        "mcp_options",
    ),
]
SECRETS = [
    *(
        "auth",
        "auth_config",
        "authHeader",
        "oauth",
        "oauth2_client",
        "basic_auth",
        "headers",
        "extra_headers",
        "cookies",
    ),
    *("api_key_2", "apiKey2", "api_key_env", "api_key_file", "APIKey", "openai_key", "tavily_key", "signing_key"),
    *("password_file", "passwd", "db_pwd", "passphrase", "secret_name", "secret_id", "token_value", "token_file"),
    *("access_tokens", "bearer", "jwt", "accesstoken", "credentials_path", "credential_id", "aws_access_key_id"),
]
COMMANDS = ["command", "commands", "mcp_command", "command_line", "cmd", "executable", "args", "argv", "server_args"]
PROVIDERS = ["provider", "provider_name", "llm_provider", "embedding_provider_id", "llmProviders", "llmkwargs"]
GRAPHS = ["graph_ids", "graphId", "child_graph_id", "assistantId", "other_assistant_id", "assistant_ids"]

PLAIN = [
    *(
        "author",
        "authority",
        "hostess",
        "hostname",
        "target_hostname",
        "keyboard",
        "server_name",
        "serverName",
        "proxied",
    ),
    *("user_id", "userId", "tenant", "language", "locale", "max_search_results", "maxSearchResults", "search_api"),
    *("secretary", "tokenizer", "max_tokens", "tokens", "token_limit", "headers_count", "header", "commander", "env"),
    *("environment", "primary_key", "issue_key", "cache_key", "key", "keys", "idempotency_key", "document_url"),
    *("image_urls", "page_url", "profile_url", "website_url", "avatarUrl", "email_address", "domain", "region", "port"),
    *("graph", "assistant", "assistant_name", "knowledge_graph", "agent_id", "thread_id_of_slack", "arguments", "curl"),
    *("connected", "connection_count", "provided", "providence", "authenticated", "mcp_tools", "shell", "passport"),
    *("password_policy", "callback_requested", "webhooked", "username", "database", "client", "options", "config", "2"),
    *("", "_", "___", "Ünïcode", "名前", "url_count", "curls", "hosting", "args_count", "dsnx", "compass"),
]


@pytest.mark.parametrize("name", ENDPOINTS + SECRETS + COMMANDS + PROVIDERS + GRAPHS)
def test_a_name_that_moves_power(name):
    assert moves_power(name, "x")


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name(name):
    assert not moves_power(name, "x")


@pytest.mark.parametrize("name", ["env", "environment", "process_env", "env_vars", "environmentVariables", "envFile"])
def test_variables_of_a_process_are_no_name_of_an_environment(name):
    assert moves_power(name, {"LD_PRELOAD": "./evil.so"})
    assert moves_power(name, "production") is not name.endswith(("env", "environment"))


@pytest.mark.parametrize("part", ["_", "a_", "url", "config_", "aB", "1", "A"])
def test_a_long_name_is_judged_in_one_pass(part):
    assert not moves_power(part * 400_000 + "x", None)  # in more than one, this would take minutes
