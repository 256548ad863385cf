"""Endpoints: each vendor's URL and credentials, and that the latter never show."""

from __future__ import annotations

import pytest

from antiphon.engine.endpoint import Endpoint, check_headers

KEY = "sk-secret"


class TestOpenAI:
    def test_a_model_and_a_bearer_token(self) -> None:
        endpoint = Endpoint.openai("gpt-realtime", api_key=KEY)
        assert endpoint.url == "wss://api.openai.com/v1/realtime?model=gpt-realtime"
        assert endpoint.headers == (("Authorization", "Bearer sk-secret"),)
        assert endpoint.subprotocols == ()

    def test_organization_and_project_are_headers(self) -> None:
        endpoint = Endpoint.openai("m", api_key=KEY, organization="org-1", project="proj_1")
        assert endpoint.headers[1:] == (("OpenAI-Organization", "org-1"), ("OpenAI-Project", "proj_1"))

    def test_a_sideband_names_its_call(self) -> None:
        assert Endpoint.openai(api_key=KEY, call_id="rtc_1").target == "/v1/realtime?call_id=rtc_1"

    def test_transcription_is_an_intent(self) -> None:
        assert Endpoint.openai(api_key=KEY, intent="transcription").query == "intent=transcription"

    def test_a_browser_carries_everything_in_subprotocols(self) -> None:
        endpoint = Endpoint.openai("m", api_key="ek_1", organization="org-1", project="proj_1", browser=True)
        assert endpoint.headers == ()
        assert endpoint.subprotocols == (
            "realtime",
            "openai-insecure-api-key.ek_1",
            "openai-organization.org-1",
            "openai-project.proj_1",
        )

    @pytest.mark.parametrize(
        ("base_url", "url"),
        [
            ("https://api.openai.com/v1", "wss://api.openai.com/v1/realtime?model=m"),
            ("https://api.openai.com/v1/", "wss://api.openai.com/v1/realtime?model=m"),
            ("http://localhost:8000/v1/realtime", "ws://localhost:8000/v1/realtime?model=m"),
            ("ws://localhost:8000", "ws://localhost:8000/realtime?model=m"),
            ("wss://gateway/v1?tenant=7&model=old", "wss://gateway/v1/realtime?tenant=7&model=m"),
        ],
    )
    def test_a_base_url_is_completed(self, base_url: str, url: str) -> None:
        assert Endpoint.openai("m", api_key=KEY, base_url=base_url).url == url

    def test_parameters_are_percent_encoded(self) -> None:
        assert Endpoint.openai("my model&x=1/ü", api_key=KEY).query == "model=my%20model%26x%3D1%2F%C3%BC"

    def test_further_headers_replace_ours_of_the_same_name(self) -> None:
        endpoint = Endpoint.openai(
            "m", api_key=KEY, headers=[("authorization", "Basic eA=="), ("OpenAI-Beta", "realtime=v1")]
        )
        assert endpoint.headers == (("authorization", "Basic eA=="), ("OpenAI-Beta", "realtime=v1"))

    def test_an_empty_key_is_refused(self) -> None:
        with pytest.raises(ValueError, match="api_key is empty"):
            Endpoint.openai("m", api_key="")

    @pytest.mark.parametrize("browser", [False, True])
    def test_a_key_with_a_line_break_is_refused_without_repeating_it(self, browser: bool) -> None:
        with pytest.raises(ValueError, match="cannot stand") as caught:
            Endpoint.openai("m", api_key="sk-secret\n", browser=browser)
        assert "secret" not in str(caught.value)


class TestAzure:
    def test_a_resource_name_and_the_ga_path(self) -> None:
        endpoint = Endpoint.azure("contoso", "my-deployment", api_key=KEY)
        assert endpoint.url == "wss://contoso.openai.azure.com/openai/v1/realtime?model=my-deployment"
        assert endpoint.headers == (("api-key", KEY),)

    def test_the_preview_path_takes_version_and_deployment(self) -> None:
        endpoint = Endpoint.azure("contoso", "d", api_key=KEY, api_version="2025-04-01-preview")
        assert endpoint.target == "/openai/realtime?api-version=2025-04-01-preview&deployment=d"

    def test_an_entra_token_is_a_bearer_token(self) -> None:
        assert Endpoint.azure("contoso", "d", token="eyJ").headers == (("Authorization", "Bearer eyJ"),)

    @pytest.mark.parametrize("path", ["", "/", "/openai", "/openai/v1/", "/openai/v1/realtime"])
    def test_the_url_of_the_portal_is_completed(self, path: str) -> None:
        endpoint = Endpoint.azure(f"https://contoso.cognitiveservices.azure.com{path}", "d", api_key=KEY)
        assert endpoint.url == "wss://contoso.cognitiveservices.azure.com/openai/v1/realtime?model=d"

    @pytest.mark.parametrize("credentials", [{}, {"api_key": "a", "token": "b"}])
    def test_it_takes_exactly_one_credential(self, credentials: dict[str, str]) -> None:
        with pytest.raises(ValueError, match="exactly one"):
            Endpoint.azure("contoso", "d", **credentials)  # type: ignore[arg-type]  # the mistake under test

    @pytest.mark.parametrize("resource", ["", "con toso", "contoso.openai.azure.com", "-x"])
    def test_what_is_no_resource_name_is_refused(self, resource: str) -> None:
        with pytest.raises(ValueError, match="Azure resource"):
            Endpoint.azure(resource, "d", api_key=KEY)


class TestCustom:
    def test_the_url_stays_as_it_is(self) -> None:
        endpoint = Endpoint.custom("ws://host/a%20b/?x=%2F&y", subprotocols=["realtime"], headers=[("X-A", "b")])
        assert endpoint.url == "ws://host/a%20b/?x=%2F&y"
        assert (endpoint.subprotocols, endpoint.headers) == (("realtime",), (("X-A", "b"),))

    def test_a_key_is_a_bearer_token(self) -> None:
        assert Endpoint.custom("ws://h", api_key=KEY).headers == (("Authorization", f"Bearer {KEY}"),)

    @pytest.mark.parametrize(
        ("url", "authority", "port"),
        [
            ("ws://example.org", "example.org", 80),
            ("wss://example.org", "example.org", 443),
            ("https://Example.ORG:443/", "example.org", 443),
            ("ws://example.org:443", "example.org:443", 443),
            ("ws://[::1]:8080/x", "[::1]:8080", 8080),
            ("wss://[2001:DB8::1]", "[2001:db8::1]", 443),
            ("WS://my_service:9", "my_service:9", 9),
            ("wss://bücher.example/", "xn--bcher-kva.example", 443),
        ],
    )
    def test_host_and_port(self, url: str, authority: str, port: int) -> None:
        endpoint = Endpoint.custom(url)
        assert (endpoint.authority, endpoint.port) == (authority, port)
        assert endpoint.secure == (endpoint.scheme == "wss")

    def test_what_is_not_ascii_is_percent_encoded(self) -> None:
        assert Endpoint.custom("ws://h/ü?q=ß").target == "/%C3%BC?q=%C3%9F"

    @pytest.mark.parametrize(
        ("url", "word"),
        [
            ("", "begin with"),
            ("localhost:8000", "begin with"),
            ("ftp://host", "begin with"),
            ("ws:/host", "begin with"),
            ("ws://", "host"),
            ("ws:///path", "host"),
            ("ws://a b/", "space"),
            ("ws://host/\r\nX: y", "control"),
            ("ws://user:pw@host/", "credentials"),
            ("ws://@host/", "credentials"),
            ("ws://host:0", "port"),
            ("ws://host:65536", "port"),
            ("ws://host:x", "port"),
            ("ws://[::1", "host"),
            ("ws://[fe80::1%25eth0]/", "host"),
            ("ws://-host/", "host"),
            ("ws://ho/st#", "fragment"),
            ("ws://host/#x", "fragment"),
            ("ws://" + "ü" * 80 + "/", "host"),
        ],
    )
    def test_a_bad_url_is_refused_with_a_word(self, url: str, word: str) -> None:
        with pytest.raises(ValueError, match=word):
            Endpoint.custom(url)

    def test_the_refusal_repeats_no_credential(self) -> None:
        with pytest.raises(ValueError, match="credentials") as caught:
            Endpoint.custom("ws://me:secret@host/?api-key=secret")
        assert "secret" not in str(caught.value)


class TestHeaders:
    @pytest.mark.parametrize("name", ["Host", "upgrade", "Sec-WebSocket-Key", "Connection", "Content-Length"])
    def test_those_of_the_handshake_are_ours(self, name: str) -> None:
        with pytest.raises(ValueError, match="handshake"):
            check_headers([(name, "x")])

    @pytest.mark.parametrize("value", ["a\r\nB: c", "a\n", " a", "a ", "ü", "\x00", "a\x7f"])
    def test_a_value_that_could_end_its_line_is_refused_unseen(self, value: str) -> None:
        with pytest.raises(ValueError, match="cannot stand there") as caught:
            check_headers([("X-Key", f"secret{value}" if value[0] != " " else f" secret{value}")])
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("name", ["", "a b", "a:", "ä"])
    def test_a_name_is_a_token(self, name: str) -> None:
        with pytest.raises(ValueError, match="no name"):
            check_headers([(name, "x")])

    def test_inner_spaces_and_tabs_and_an_empty_value_are_fine(self) -> None:
        assert check_headers([("A", "b \t c"), ("D", "")]) == (("A", "b \t c"), ("D", ""))

    def test_fresh_ones_replace_the_old(self) -> None:
        endpoint = Endpoint.openai("m", api_key="old", organization="org-1").with_headers(
            [("AUTHORIZATION", "Bearer new")]
        )
        assert endpoint.headers == (("OpenAI-Organization", "org-1"), ("AUTHORIZATION", "Bearer new"))


class TestDirectConstruction:
    @pytest.mark.parametrize(
        "parts",
        [
            {"scheme": "http"},
            {"host": "a b"},
            {"host": "HOST"},
            {"host": "x:y"},
            {"port": 0},
            {"path": "x"},
            {"path": "/a b"},
            {"path": "/a?b"},
            {"query": "a\nb"},
            {"subprotocols": ("a,b",)},
            {"headers": (("Host", "x"),)},
        ],
    )
    def test_a_part_that_could_not_be_sent_is_refused(self, parts: dict[str, object]) -> None:
        fields: dict[str, object] = {"scheme": "ws", "host": "h", "port": 1}
        with pytest.raises(ValueError, match=r"of an endpoint|subprotocol|handshake"):
            Endpoint(**{**fields, **parts})  # type: ignore[arg-type]  # the mistakes under test


def test_the_repr_shows_where_and_hides_every_credential() -> None:
    endpoint = Endpoint.openai(
        "gpt-realtime", api_key="secret", base_url="wss://h/v1?api-key=secret", organization="secret", browser=True
    ).with_headers([("X-Key", "secret")])
    assert repr(endpoint) == (
        "<Endpoint wss://h/v1/realtime?api-key=…&model=gpt-realtime headers=(X-Key) "
        "subprotocols=(realtime, openai-insecure-api-key, openai-organization)>"
    )
