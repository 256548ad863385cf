"""What the conversation is at both ends, so that it can be compared when everything has arrived."""

from __future__ import annotations

from antiphon import Node, Session

from .world import World


def mirror(session: Session) -> list[tuple[str, object]]:
    """The items of a conversation and what each says; of one that was cut, where: which words were heard is a guess,
    and each end guesses from what it knew."""
    return [
        (node.id, {index: cut.audio_end_ms for index, cut in node.cuts.items()} if node.cuts else node.text)
        for node in session.conversation
    ]


def said(node: Node) -> object:
    """What an item says. Of one that this session's server cut, where: each end guesses the words from what it knew."""
    if node.cuts and node.held_as == "itself":
        return {index: cut.audio_end_ms for index, cut in node.cuts.items()}
    return node.text


def check_mirrors(world: World) -> bool:
    """When everything has arrived over an open socket, the server has what the client can have given it. Answers
    whether there was anything to compare: while a history is given neither end has all of it."""
    client, server = world.client, world.server
    if client.link.state != "open" or server.link.state != "open" or client.renewal.state == "renewing":
        return False
    if client.generation == 1:
        assert mirror(client) == mirror(server)
        return True
    mine = [node for node in client.conversation if node.held_as != "nothing"]
    theirs = list(server.conversation)
    assert [node.id for node in mine] == [node.id for node in theirs]
    assert [said(node) for node in mine] == [said(node) for node in theirs]
    if world.setup.replay:
        assert set(world.created) <= {node.id for node in client.conversation}, "what was sent is lost with a socket"
    return True
