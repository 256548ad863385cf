"""Conversation items and the content parts of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from msgspec import UNSET

from ._base import Id, JsonObject, Maybe, Message
from .objects import AudioFormat
from .unknown import UnknownContent, UnknownItem

# --- content ----------------------------------------------------------------------------------------------------------


class InputText(Message, frozen=True, kw_only=True, gc=False, tag_field="type", tag="input_text"):
    """Text from the user, or in a system message."""

    type: ClassVar[Literal["input_text"]] = "input_text"
    text: str


class _AudioContent(Message, frozen=True, kw_only=True, tag_field="type"):
    """Base64 `audio` (only in answers to `conversation.item.retrieve`, and in items a client makes) and its transcript.

    `format` comes with retrieved audio: a beta name, or the nested object.
    """

    type: ClassVar[str]
    _concealed: ClassVar[frozenset[str]] = frozenset({"audio"})
    audio: Maybe[str] = UNSET
    transcript: Maybe[str] = UNSET
    format: Maybe[str | AudioFormat] = UNSET


class InputAudio(_AudioContent, frozen=True, kw_only=True, tag="input_audio"):
    """Audio from the user. `transcript` is null until the transcription is complete, for ever where none is made."""

    type: ClassVar[Literal["input_audio"]] = "input_audio"


class InputImage(Message, frozen=True, kw_only=True, gc=False, tag_field="type", tag="input_image"):
    """An image from the user: `image_url` is a data URI, printed only as its length."""

    type: ClassVar[Literal["input_image"]] = "input_image"
    _concealed: ClassVar[frozenset[str]] = frozenset({"image_url"})
    image_url: Maybe[str] = UNSET
    detail: Maybe[str] = UNSET


class OutputText(Message, frozen=True, kw_only=True, gc=False, tag_field="type", tag="output_text"):
    """Text from the model, in an item."""

    type: ClassVar[Literal["output_text"]] = "output_text"
    text: str


class OutputAudio(_AudioContent, frozen=True, kw_only=True, tag="output_audio"):
    """Audio from the model, in an item; the transcript is what it said."""

    type: ClassVar[Literal["output_audio"]] = "output_audio"


class BetaOutputText(OutputText, frozen=True, kw_only=True, gc=False, tag="text"):
    """`output_text` by the name that the beta gave it, and that published examples of GA still show.

    It reads as what it is and is written as it came; a server that speaks GA takes it from no client.
    """


class BetaOutputAudio(OutputAudio, frozen=True, kw_only=True, tag="audio"):
    """`output_audio` by the name that the beta gave it."""


class TextPart(Message, frozen=True, kw_only=True, gc=False, tag_field="type", tag="text"):
    """Text from the model as `response.content_part.*` shows it."""

    type: ClassVar[Literal["text"]] = "text"
    text: str


class AudioPart(_AudioContent, frozen=True, kw_only=True, tag="audio"):
    """Audio from the model as `response.content_part.*` shows it."""

    type: ClassVar[Literal["audio"]] = "audio"


# A tagged union cannot hold a fallback class, so only the type checker sees it here; the codec puts instances in.
if TYPE_CHECKING:
    Content: TypeAlias = InputText | InputAudio | InputImage | OutputText | OutputAudio | UnknownContent
    Part: TypeAlias = (
        InputText | InputAudio | InputImage | OutputText | OutputAudio | UnknownContent | TextPart | AudioPart
    )
else:
    Content = InputText | InputAudio | InputImage | OutputText | OutputAudio | BetaOutputText | BetaOutputAudio
    Part = InputText | InputAudio | InputImage | OutputText | OutputAudio | TextPart | AudioPart

BETA_CONTENT: Final = (BetaOutputText, BetaOutputAudio)
"""Content by names of the beta dialect."""


def content_wire_type(content: Part) -> str:
    """The value of `type` in the JSON text of a content part."""
    return content.type if isinstance(content, UnknownContent) else str(content.__struct_config__.tag)


# --- items ------------------------------------------------------------------------------------------------------------


class ItemBase(Message, frozen=True, kw_only=True, tag_field="type"):
    """What all items have. A client may leave `id` out, then the server makes one (at most 32 characters).

    `status` is one of `values.ITEM_STATUSES`; some kinds of item never have one. `object` is "realtime.item".
    """

    type: ClassVar[str]
    id: Maybe[Id] = UNSET
    object: Maybe[str] = UNSET
    status: Maybe[str] = UNSET


class MessageItem(ItemBase, frozen=True, kw_only=True, tag="message"):
    """What somebody said: `role` is one of `values.MESSAGE_ROLES`. `phase` tells commentary from the final answer."""

    type: ClassVar[Literal["message"]] = "message"
    role: str
    content: list[Content]
    phase: Maybe[str] = UNSET


class FunctionCallItem(ItemBase, frozen=True, kw_only=True, tag="function_call"):
    """The model asks for a function; `arguments` is JSON text, which may be broken or, while in progress, partial."""

    type: ClassVar[Literal["function_call"]] = "function_call"
    name: str
    call_id: Maybe[Id] = UNSET
    arguments: str
    phase: Maybe[str] = UNSET


class FunctionCallOutputItem(ItemBase, frozen=True, kw_only=True, tag="function_call_output"):
    """The result of a function call, as text."""

    type: ClassVar[Literal["function_call_output"]] = "function_call_output"
    call_id: Id
    output: str


class McpToolDescription(Message, frozen=True, kw_only=True):
    """One tool that an MCP server offers; `input_schema` is a JSON Schema."""

    name: Maybe[str] = UNSET
    description: Maybe[str] = UNSET
    input_schema: Maybe[JsonObject] = UNSET
    annotations: Maybe[JsonObject] = UNSET


class McpError(Message, frozen=True, kw_only=True, gc=False):
    """Why an MCP call failed: `type` as in `values.MCP_ERROR_TYPES`; a tool execution error has no `code`."""

    type: Maybe[str] = UNSET
    code: Maybe[int] = UNSET
    message: Maybe[str] = UNSET


class McpListToolsItem(ItemBase, frozen=True, kw_only=True, tag="mcp_list_tools"):
    """The tools found on an MCP server."""

    type: ClassVar[Literal["mcp_list_tools"]] = "mcp_list_tools"
    server_label: str
    tools: list[McpToolDescription]


class McpCallItem(ItemBase, frozen=True, kw_only=True, tag="mcp_call"):
    """A tool of an MCP server that the provider calls by itself; `arguments` is JSON text."""

    type: ClassVar[Literal["mcp_call"]] = "mcp_call"
    server_label: str
    name: str
    arguments: str
    approval_request_id: Maybe[Id] = UNSET
    output: Maybe[str] = UNSET
    error: Maybe[McpError] = UNSET


class McpApprovalRequestItem(ItemBase, frozen=True, kw_only=True, tag="mcp_approval_request"):
    """The model wants to call this tool and somebody has to allow it."""

    type: ClassVar[Literal["mcp_approval_request"]] = "mcp_approval_request"
    server_label: str
    name: str
    arguments: str


class McpApprovalResponseItem(ItemBase, frozen=True, kw_only=True, tag="mcp_approval_response"):
    """The answer to an approval request, from the client."""

    type: ClassVar[Literal["mcp_approval_response"]] = "mcp_approval_response"
    approval_request_id: Id
    approve: bool
    reason: Maybe[str] = UNSET


class ItemReference(ItemBase, frozen=True, kw_only=True, tag="item_reference"):
    """Stands for an existing item, by its `id`, in the `input` of a response."""

    type: ClassVar[Literal["item_reference"]] = "item_reference"


if TYPE_CHECKING:
    Item: TypeAlias = (
        MessageItem
        | FunctionCallItem
        | FunctionCallOutputItem
        | McpListToolsItem
        | McpCallItem
        | McpApprovalRequestItem
        | McpApprovalResponseItem
        | ItemReference
        | UnknownItem
    )
else:
    Item = (
        MessageItem
        | FunctionCallItem
        | FunctionCallOutputItem
        | McpListToolsItem
        | McpCallItem
        | McpApprovalRequestItem
        | McpApprovalResponseItem
        | ItemReference
    )
