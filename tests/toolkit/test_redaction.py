"""What a journal must not hold is known by where it stands, and is gone; the rest is as it was."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import Endpoint
from antiphon.toolkit.redaction import (
    REDACTED,
    blank_event,
    cut_audio,
    redact_address,
    redact_body,
    redact_endpoint,
    redact_event,
    redact_head,
    redact_headers,
    redact_query,
    redact_refusal,
    redact_subprotocol,
    refuses,
)

KEY = "sk-abc-0123456789"
SECRET = KEY.encode()


@pytest.mark.parametrize(
    "event",
    [
        {"session": {"tools": [{"type": "mcp", "authorization": KEY, "headers": {"X-A": KEY, "n": [KEY, 1, None]}}]}},
        {"session": {"client_secret": {"value": KEY, "expires_at": 5}}},
        {"api_key": KEY},
        {"response": {"tools": [{"server_url": f"https://me:{KEY}@host.example/sse?token={KEY}#{KEY}"}]}},
        [{"authorization": KEY}],
        {"type": "weird", "Authorization": KEY, "API_KEY": KEY, "apiKey": KEY, "api-key": KEY, "Server_URL": f"?{KEY}"},
        {"access_token": KEY, "password": {"old": KEY}},
        {"type": "error", "error": {"code": "invalid_api_key", "message": f"Incorrect API key provided: {KEY}."}},
        {"type": "error", "error": {"type": "authentication_error", "code": None, "message": KEY}},
        {"outcome": {"outcome": "rejected", "error": {"code": "Unauthorized", "message": KEY}}},
    ],
)
def test_the_credentials_of_an_event_are_not_shown(event: object) -> None:
    for text in (json.dumps(event), json.dumps(event, indent=1), msgspec.json.encode(event).decode()):
        shown = redact_event(text.encode())
        assert SECRET not in shown
        assert redact_event(shown) == shown
        assert SECRET not in blank_event(text.encode())


def test_an_event_without_credentials_is_the_very_same() -> None:
    text = b'{"type" : "x", "n": 1.50}'
    assert redact_event(text) is text


@pytest.mark.parametrize(
    "text",
    [
        b'{"type" : "error", "error": {"code": "missing_item", "message": "no such item"}}',
        b'{"type" : "error", "error": {"code": 401, "type": null, "message": "no"}}',
        b'{"type" : "authentic", "message": "hello"}',
        b'{"type" : "error", "error": "auth", "code": "auth"}',
        b'{"usage" : {"token": "a", "tokens": 5, "logprobs": [{"token": "b"}]}}',
    ],
)
def test_what_only_looks_like_an_error_about_a_key_is_the_very_same(text: bytes) -> None:
    assert redact_event(text) is text


def test_an_error_about_a_key_keeps_its_code_and_says_no_more_than_it_said() -> None:
    error = {"type": "invalid_request_error", "code": "invalid_api_key", "param": None}
    shown = json.loads(redact_event(json.dumps({"type": "error", "error": {**error, "message": KEY}}).encode()))
    assert shown == {"type": "error", "error": {**error, "message": REDACTED}}


def test_an_event_whose_credentials_are_empty_is_the_very_same() -> None:
    text = b'{"authorization" : null, "headers": {"a": ""}, "client_secret": {}, "server_url": 5}'
    assert redact_event(text) is text


def test_numbers_and_null_of_a_secret_object_stay() -> None:
    shown = json.loads(redact_event(b'{"client_secret":{"value":"x","expires_at":17,"y":null}}'))
    assert shown == {"client_secret": {"value": REDACTED, "expires_at": 17, "y": None}}


def test_a_name_in_escapes_hides_nothing() -> None:
    assert SECRET not in redact_event(b'{"\\u0061uthorization":"%b"}' % SECRET)


def test_escapes_of_an_innocent_text_stay() -> None:
    text = b'{"transcript":"\\u00e9"}'
    assert redact_event(text) is text


@pytest.mark.parametrize(
    "text",
    [
        b'{"authorization": "%b" trailing',
        b'{"authorization": "%b',
        b'{"authorization": "a\\"%b", "n": 1e999}',
        b'{"headers": {"a": "%b", "b": "}%b',
        b'{"client_secret": {"value": "%b"',
        b'{"server_url": "https://x/?%b"} {',
        b"[" * 2000 + b'{"api_key": "%b"}',
        b'{"authorization": "%b\xff"}',
        b'{"authorization": "%b\\ud800"}',
        b'{"Authorization": "%b',
        b'{"type": "error", "error": {"code": "invalid_api_key", "message": "Incorrect API key provided: %b',
    ],
)
def test_what_is_no_json_shows_no_credential_and_keeps_its_length(text: bytes) -> None:
    text = text.replace(b"%b", SECRET)
    shown = redact_event(text)
    assert SECRET not in shown
    assert len(shown) == len(text)
    assert redact_event(shown) == shown


def test_blanking_leaves_what_is_no_letter() -> None:
    assert blank_event(b'{"authorization":"a\\u00e9\\n\xc3\xa9-1"}') == b'{"authorization":"x\\u00e9\\n\xc3\xa9-x"}'


def test_blanking_leaves_the_names_of_headers() -> None:
    assert blank_event(b'{"headers":{"X-A":"a1"},"type":"x"}') == b'{"headers":{"X-A":"xx"},"type":"x"}'


@given(st.binary(max_size=60))
def test_any_bytes_can_be_blanked_and_stay_as_long(text: bytes) -> None:
    text = b'{"authorization":' + text
    assert len(blank_event(text)) == len(text)
    assert blank_event(blank_event(text)) == blank_event(text)


class TestAudio:
    @pytest.mark.parametrize(
        "event",
        [
            {"type": "input_audio_buffer.append", "audio": "QUJD"},
            {"type": "response.output_audio.delta", "delta": "QUJD"},
            {"type": "response.audio.delta", "delta": "QUJD"},
            {"type": "conversation.item.create", "item": {"content": [{"type": "input_audio", "audio": "QUJD"}]}},
        ],
    )
    def test_it_is_cut(self, event: object) -> None:
        assert b"QUJD" not in cut_audio(json.dumps(event).encode())

    def test_words_and_settings_stay(self) -> None:
        text = b'{"type":"session.update","session":{"audio":{"output":{"voice":"x"}}},"delta":"QUJD"}'
        assert cut_audio(text) is text

    def test_it_is_cut_from_an_event_with_a_number_that_is_none_of_ours(self) -> None:
        assert b"QUJD" not in cut_audio(b'{"type":"response.output_audio.delta","n":1e999,"delta":"QUJD"}')

    def test_it_is_cut_under_a_name_in_escapes(self) -> None:
        assert b"QUJD" not in cut_audio(b'{"type":"input_audio_buffer.append","\\u0061udio":"QUJD"}')

    def test_an_event_without_it_is_the_very_same(self) -> None:
        text = b'{"type": "response.done"}'
        assert cut_audio(text) is text


class TestHandshakes:
    def test_a_header_is_shown_only_if_it_is_known_to_hold_no_credential(self) -> None:
        headers = (
            ("Host", "x"),
            ("AUTHORIZATION", KEY),
            ("Cookie", KEY),
            ("X-New", ""),
            ("OpenAI-Beta", "realtime=v1"),
        )
        shown = (("Host", "x"), ("AUTHORIZATION", REDACTED), ("Cookie", REDACTED), ("X-New", REDACTED))
        assert redact_headers(headers) == (*shown, ("OpenAI-Beta", "realtime=v1"))

    def test_the_value_of_a_very_long_header_keeps_its_length(self) -> None:
        ((_, value),) = redact_headers((("Cookie", KEY * 500),))
        assert len(value) == len(KEY * 500)
        assert redact_headers((("Cookie", value),)) == (("Cookie", value),)

    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            ("", ""),
            ("model=m&api-version=2", "model=m&api-version=2"),
            (f"model=m&key={KEY}&x=", f"model=m&key={REDACTED}&x={REDACTED}"),
            (KEY, REDACTED),
            ("m%6fdel=m&model", "m%6fdel=m&model"),
            ("a&&b=1", f"{REDACTED}&&b={REDACTED}"),
        ],
    )
    def test_the_query_shows_what_is_known(self, query: str, shown: str) -> None:
        assert redact_query(query) == shown
        assert redact_query(shown) == shown

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("/v1/realtime?model=m", "/v1/realtime?model=m"),
            ("https://host/path", "https://host/path"),
            ("https://a:b@host?k=v", f"https://{REDACTED}@host?k={REDACTED}"),
            ("https://a@b@host/", f"https://{REDACTED}@host/"),
            ("//host/x#y?z=1", f"//host/x#{REDACTED}?z={REDACTED}"),
        ],
    )
    def test_an_address_shows_where_it_leads(self, url: str, shown: str) -> None:
        assert redact_address(url) == shown
        assert redact_address(shown) == shown

    def test_a_subprotocol_that_may_be_a_key_is_told_from_others(self) -> None:
        assert redact_subprotocol("realtime") == "realtime"
        one, other = redact_subprotocol(f"openai-insecure-api-key.{KEY}"), redact_subprotocol("else")
        assert KEY not in one
        assert one != other
        assert redact_subprotocol(one) == one

    def test_a_key_that_begins_as_a_hidden_one_does_is_hidden(self) -> None:
        assert KEY not in redact_subprotocol(f"{REDACTED}.{KEY}")

    def test_an_endpoint_keeps_where_it_leads(self) -> None:
        endpoint = Endpoint.openai("m", api_key=KEY, base_url=f"wss://host/v1?token={KEY}", browser=True)
        shown = redact_endpoint(endpoint)
        assert (shown.host, shown.path) == ("host", endpoint.path)
        assert SECRET not in msgspec.json.encode(shown)
        assert redact_endpoint(shown) == shown

    def test_a_head_keeps_its_lines(self) -> None:
        head = b"GET /x?key=%b HTTP/1.1\r\nHost: h\r\nAuthorization:  Bearer %b \r\nCut: %b" % (SECRET, SECRET, SECRET)
        shown = redact_head(head)
        assert shown == b"GET /x?key=redacted HTTP/1.1\r\nHost: h\r\nAuthorization: redacted\r\nCut: redacted"
        assert redact_head(shown) == shown

    @pytest.mark.parametrize(
        "line", [b"%b : x", b" folded %b", b"X: a\x00%b", b"X: a\n%b", b"Host: a\n%b", b"%b", b"\xff%b: x"]
    )
    def test_nothing_is_shown_of_a_line_that_is_no_header(self, line: bytes) -> None:
        assert redact_head(b"HTTP/1.1 101\r\n" + line.replace(b"%b", SECRET)) == b"HTTP/1.1 101\r\nredacted"

    @pytest.mark.parametrize(
        "line", [b"%b", b"GET /?%b", b"GET /?%b HTTP/1.1\nX: y", b"HTTP/9.9 200 %b", b"GET  /%b HTTP/1.1"]
    )
    def test_nothing_is_shown_of_a_first_line_that_is_not_http(self, line: bytes) -> None:
        assert redact_head(line.replace(b"%b", SECRET) + b"\r\n\r\n") == b"redacted\r\n\r\n"

    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            (b"HTTP/1.1 401 Unauthorized", b"HTTP/1.1 401 Unauthorized"),
            (b"HTTP/1.1 401", b"HTTP/1.1 401"),
            (b"HTTP/1.1 401 ", b"HTTP/1.1 401 "),
            (b"HTTP/1.1 401 " + SECRET, b"HTTP/1.1 401 redacted"),
            (b"HTTP/1.1 599 " + SECRET, b"HTTP/1.1 599 redacted"),
        ],
    )
    def test_a_reason_is_shown_if_it_is_the_usual_one(self, line: bytes, shown: bytes) -> None:
        assert redact_head(line) == shown

    def test_of_a_refusal_only_the_code_is_shown(self) -> None:
        body = b'{"error":{"message":"%b","code":"invalid_api_key"}}' % SECRET
        response = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\nX: %b\r\n\r\n" % (len(body), SECRET) + body
        shown = redact_refusal(response)
        assert shown == (
            b"HTTP/1.1 401 Unauthorized\r\nX: redacted\r\nContent-Length: 36\r\n\r\n"
            b'{"error":{"code":"invalid_api_key"}}'
        )
        assert redact_refusal(shown) == shown

    @pytest.mark.parametrize(
        "body", [b"", b"<html>" + SECRET, b"[1]", b'{"error":1}', b'{"error":{"code":"%b"}}' % SECRET, b"[" * 5000]
    )
    def test_a_body_without_a_code_is_not_shown(self, body: bytes) -> None:
        assert redact_body(body) == b""

    @pytest.mark.parametrize(
        ("head", "expected"),
        [
            (b"HTTP/1.1 401 X\r\n\r\n", True),
            (b"HTTP/1.1 401 X\r\n", False),
            (b"HTTP/1.1 101 X\r\n\r\n", False),
            (b"HTTP/1.1 200 101\r\n\r\nbody", True),
            (b"GET / HTTP/1.1\r\n\r\n", False),
        ],
    )
    def test_a_response_refuses_with_any_other_status(self, head: bytes, expected: bool) -> None:
        assert refuses(head) is expected
