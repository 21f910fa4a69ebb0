# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that one host may ask another to take: their arguments, and what they answer.

A step is a frozen dataclass, and the type of its answer is what ``Step`` is given. A host takes it
by the method that says so (``handles``), whose arguments and answer a type checker compares with
the step's. Both ends of a channel have this table, and compare its digest when the channel opens
(`LIBRARY`). Arguments and answers are what JSON can hold.

To add a step: add a class here, and a handler to `host.me_host`.
"""

from __future__ import annotations

import functools
import hashlib
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypedDict,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from ..ground.errors import RelocationError
from ..ground.library import VERSION

Answer = TypeVar("Answer")
Answered = TypeVar("Answered", covariant=True)
Parameters = ParamSpec("Parameters")
Streams = Literal["to", "from"]

TABLE: dict[str, type[Step[Any]]] = {}


class Step(Generic[Answered]):
    """A step, with the type of its answer.

    Attributes:
        step_name: its name in a message.
        streams: whether bytes follow: `to` the host that takes the step, after the message, in the
            form of `volume.stream`; or `from` it, after the answer, until the channel closes.
        peers_may: whether another host may ask for it.
    """

    step_name: ClassVar[str]
    streams: ClassVar[Streams | None]
    peers_may: ClassVar[bool]

    def __init_subclass__(cls, *, streams: Streams | None = None, peers_may: bool = True) -> None:
        super().__init_subclass__()
        cls.step_name = re.sub(r"(?<!^)([A-Z])", r"_\1", cls.__name__).lower()
        cls.streams, cls.peers_may = streams, peers_may
        TABLE[cls.step_name] = cls


# -- about the host -------------------------------------------------------------------------


class Greeting(TypedDict):
    """Who answers, and with which library (`LIBRARY`)."""

    name: str
    version: str


@dataclass(frozen=True)
class Hello(Step[Greeting]):
    """Tell who answers. The first step of every channel; its form must never change."""


# -- the owner of an app (`host.owner`) -------------------------------------------------------


class Part(TypedDict):
    """The part that a host plays for an app.

    ``state``, ``known``, ``newest`` and ``copy`` are of its note; ``owner`` is the host that it
    knows as the owner; ``current`` says whether it has heard from the others since it began;
    ``busy`` on whose behalf a process of another channel may change that.
    """

    state: str
    known: int
    newest: int
    copy: int
    owner: str
    current: bool
    busy: str


class Told(TypedDict):
    """An answer (`host.owner.Answer`), and the reason of a refusal."""

    answer: str
    why: str


@dataclass(frozen=True)
class Lock(Step[Part]):
    """Work on the app on behalf of a handoff, or of a person, until the channel closes."""

    app: str
    owner: str
    outranks: bool = False


@dataclass(frozen=True)
class Unlock(Step[None]):
    """Work on the app no more; tell whether the handoff goes on, and keeps its lease."""

    app: str
    keep_lease: bool


@dataclass(frozen=True)
class Parts(Step[Mapping[str, Part]]):
    """Tell the host's part for some apps; for all that it knows where none is named."""

    apps: Sequence[str] = ()


@dataclass(frozen=True)
class Ready(Step[None]):
    """Note that a copy of the app's volume, or an instance of it, is being brought there."""

    app: str
    handoff: str
    instance: str = ""


@dataclass(frozen=True)
class Offer(Step[Told]):
    """Ask the host to be ready to take the app in an attempt; nothing is held yet."""

    app: str
    attempt: int
    handoff: str
    source: str


@dataclass(frozen=True)
class Withdraw(Step[None]):
    """Take an offer back: the host was not asked to serve, and will not be."""

    app: str
    attempt: int


@dataclass(frozen=True)
class Inquire(Step[Told]):
    """Ask what became of an attempt, in which the host will not be asked to serve again."""

    app: str
    attempt: int
    handoff: str


@dataclass(frozen=True)
class Retire(Step[Told]):
    """End the app for good, because another host is its owner; the answer confirms it."""

    app: str
    epoch: int
    owner_host: str


@dataclass(frozen=True)
class Record(Step[None]):
    """Keep a relocation record."""

    record: Mapping[str, Any]


# -- the volume -----------------------------------------------------------------------------


class Room(TypedDict):
    """Free bytes below the PV root, and the bytes that the app's PV has there already."""

    free_bytes: int
    present_bytes: int


@dataclass(frozen=True)
class Space(Step[Room]):
    """Tell what room there is for the app's PV."""

    app: str


class Crossed(TypedDict):
    """What came with a stream; why it does not fit the copy, if it does not."""

    files: int
    bytes: int
    misfit: str


@dataclass(frozen=True)
class Apply(Step[Crossed], streams="to"):
    """Make the app's PV like the source's, as far as the stream says."""

    app: str


@dataclass(frozen=True)
class Sync(Step[None]):
    """Begin to write all to the disk that came for the app, by whichever way."""

    app: str


@dataclass(frozen=True)
class Durable(Step[None]):
    """Wait for all that was begun to be written for the app."""

    app: str


class Compared(TypedDict):
    """What a comparison found; see `volume.compare.Comparison`."""

    files: int
    bytes: int
    changed_since: int
    differing: int
    differences: list[str]


@dataclass(frozen=True)
class Verify(Step[Compared], streams="to"):
    """Compare the PV of an app that was activated on this channel with the source's manifest."""

    app: str


# -- images ---------------------------------------------------------------------------------


class Pulled(TypedDict):
    """The image's id, and the bytes that came."""

    image_id: str
    bytes: int


@dataclass(frozen=True)
class Pull(Step[Pulled]):
    """Have an image of the repository."""

    image: str


@dataclass(frozen=True)
class Discard(Step[None]):
    """Remove the app's prepared instance, and an image that came for it alone."""

    app: str
    image: str | None


class Described(TypedDict):
    """An image as an engine has it; the digest is its manifest's, where that is known."""

    image_id: str
    digest: str | None
    diff_ids: Sequence[str]


@dataclass(frozen=True)
class ImageDescribe(Step[Described]):
    """Tell what an image is there."""

    image: str


@dataclass(frozen=True)
class ImageExportSize(Step[int]):
    """Tell how many bytes `ImageExport` would send."""

    image_id: str
    have_layers: Sequence[str]


@dataclass(frozen=True)
class ImageExport(Step[None], streams="from"):
    """Send an image as a tar stream, without the layers that the asker has."""

    image_id: str
    have_layers: Sequence[str]


# -- the instance ---------------------------------------------------------------------------


class Place(TypedDict):
    """An instance as records have it."""

    name: str
    address: str


class Prepared(Place):
    """An instance that was prepared, and whether it had to be."""

    changed: bool


@dataclass(frozen=True)
class Prepare(Step[Prepared]):
    """Have an instance ready for the cutover: standby ones run, others are created."""

    declaration: Mapping[str, Any]
    image_id: str
    handoff: str
    base_image_id: str | None = None


@dataclass(frozen=True)
class IsPrepared(Step[bool]):
    """Tell whether `Prepare` has nothing left to do."""

    declaration: Mapping[str, Any]
    image_id: str
    base_image_id: str | None = None


class Activated(Told, Place):
    """Whether the host took the app, and the instance that serves."""


@dataclass(frozen=True)
class Activate(Step[Activated]):
    """Take the app in an attempt, and make its instance serve; it does when the answer comes."""

    app: str
    attempt: int
    timeout_s: float


@dataclass(frozen=True)
class Settle(Step[None]):
    """Let the platform start the app there by itself from now on, if the host owns it."""

    app: str


@dataclass(frozen=True)
class Serves(Step[bool]):
    """Tell whether the app serves there, as its note and its health say."""

    app: str


@dataclass(frozen=True)
class Remove(Step[str | None]):
    """Remove the app's instance where it must not serve; tell what is left of it, and why."""

    app: str


# -- the gateway ----------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckGateway(Step[None]):
    """Fail unless the host's gateway can send the app's requests to each of ``me_hosts``."""

    app: str
    me_hosts: Sequence[str]


@dataclass(frozen=True)
class Hold(Step[int]):
    """Let new requests of the app wait; tells those that the instance on ``host`` answers still.

    Each waits for ``max_s``, then it gets 503; after ``end_s`` the hold ends by itself, and all do.
    """

    app: str
    max_s: float
    host: str
    owner: str
    end_s: float


@dataclass(frozen=True)
class InFlight(Step[int]):
    """Tell the requests that the instance on ``host`` answers through the host's gateway."""

    app: str
    host: str


@dataclass(frozen=True)
class Forward(Step[None]):
    """Send the app's requests to ``host``, those that wait first; refused while another holds."""

    app: str
    host: str
    owner: str


@dataclass(frozen=True)
class Persist(Step[None]):
    """Make the gateway's locations survive its restart."""


@dataclass(frozen=True)
class OpenGateway(Step[bool]):
    """Send the app's requests to ``host`` from now on, durably; tells if that is news."""

    app: str
    host: str


@dataclass(frozen=True)
class CloseGateway(Step[bool]):
    """Answer the app's requests with 503 from now on, durably; tells if that is news."""

    app: str


# -- messages -------------------------------------------------------------------------------


def decode(name: str, arguments: Mapping[str, Any]) -> Step[Any]:
    """Return the step of a message.

    Raises:
        RelocationError: there is none of this name, or it does not have these arguments.
    """
    step = TABLE.get(name)
    if step is None:
        raise RelocationError(f"The agent knows no step {name!r}.")
    kinds, optional = _arguments(name)
    unknown = arguments.keys() - kinds.keys()
    missing = kinds.keys() - optional - arguments.keys()
    if unknown or missing:
        raise RelocationError(
            f"The step {name} takes {', '.join(kinds) or 'nothing'}: "
            f"unknown {sorted(unknown)}, missing {sorted(missing)}."
        )
    for argument, value in arguments.items():
        if not _fits(value, kinds[argument]):
            raise RelocationError(
                f"The step {name} takes {argument} as {_spelled(kinds[argument])}, "
                f"not {str(value)[:80]!r}."
            )
    return step(**arguments)


def answers(step: Step[Answer], value: Any) -> Answer:
    """Return the value, if it is an answer to the step.

    Raises:
        RelocationError: it is none.
    """
    kind = _answer(step.step_name)
    if not _fits(value, kind):
        raise RelocationError(
            f"The step {step.step_name} answers {_spelled(kind)}, not {str(value)[:80]!r}."
        )
    answer: Answer = value
    return answer


@functools.cache
def _arguments(name: str) -> tuple[dict[str, Any], frozenset[str]]:
    """The arguments of a step with their types, and those that may be left out."""
    step = TABLE[name]
    hints = get_type_hints(step)
    known = fields(step)  # type: ignore[arg-type] # each is a dataclass: a test says so
    return (
        {field.name: hints[field.name] for field in known},
        frozenset(field.name for field in known if field.default is not MISSING),
    )


@functools.cache
def _answer(name: str) -> Any:
    """The type of a step's answer."""
    (base,) = TABLE[name].__orig_bases__  # type: ignore[attr-defined]
    return get_args(base)[0]


@functools.cache
def _parts(kind: Any) -> dict[str, Any]:
    """The keys of a ``TypedDict`` with the types of their values."""
    return get_type_hints(kind)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value that came as JSON is of a type."""
    origin = get_origin(kind)
    if kind is Any:
        return True
    if kind is None or kind is types.NoneType:
        return value is None
    if origin in (Union, types.UnionType):
        return any(_fits(value, choice) for choice in get_args(kind))
    if is_typeddict(kind):
        parts = _parts(kind)
        return (
            isinstance(value, dict)
            and value.keys() == parts.keys()
            and all(_fits(value[key], part) for key, part in parts.items())
        )
    if origin is Mapping:
        keys, values = get_args(kind)
        return isinstance(value, dict) and all(
            _fits(key, keys) and _fits(part, values) for key, part in value.items()
        )
    if origin in (Sequence, list):
        (item,) = get_args(kind)
        return isinstance(value, list) and all(_fits(part, item) for part in value)
    if isinstance(value, bool):
        # To Python, but not here, a truth value is a number.
        return kind is bool
    # JSON does not tell 2.0 from 2.
    return isinstance(value, (int, float) if kind is float else kind)


def _spelled(kind: Any) -> str:
    """A type in words that do not depend on the name under which the library is imported."""
    if kind is Any:
        return "Any"
    if kind is None or kind is types.NoneType:
        return "None"
    if is_typeddict(kind):
        return f"{{{', '.join(f'{key}: {_spelled(part)}' for key, part in _parts(kind).items())}}}"
    origin, within = get_origin(kind), [_spelled(part) for part in get_args(kind)]
    if origin in (Union, types.UnionType):
        return " | ".join(within)
    return f"{origin.__name__}[{', '.join(within)}]" if origin else str(kind.__name__)


def _digest() -> str:
    """What the table says, in twelve digits."""
    told = []
    for name, step in sorted(TABLE.items()):
        kinds, optional = _arguments(name)
        spelled = {argument: _spelled(kind) for argument, kind in kinds.items()}
        flags = (step.streams, step.peers_may)
        told.append(f"{name} {spelled} {sorted(optional)} {_spelled(_answer(name))} {flags}\n")
    return hashlib.sha256("".join(told).encode()).hexdigest()[:12]


# What both ends of a channel must have in common.
LIBRARY = f"{VERSION}+{_digest()}"


# -- handlers -------------------------------------------------------------------------------


class Handler(Generic[Parameters, Answer]):
    """A method that takes a step."""

    def __init__(self, step: type[Step[Any]], method: Callable[..., Answer]) -> None:
        self.step = step
        self.method = method
        self.__doc__ = method.__doc__

    def __get__(self, host: object, _kind: type) -> Callable[Parameters, Answer]:
        return types.MethodType(self.method, host)


Handlers = Mapping[type[Step[Any]], Callable[..., Any]]


def handles(
    step: Callable[Parameters, Step[Answer]],
) -> Callable[[Callable[Concatenate[Any, Parameters], Answer]], Handler[Parameters, Answer]]:
    """Declare the method that takes a step: it has the step's arguments, and gives its answer."""

    def declare(
        method: Callable[Concatenate[Any, Parameters], Answer],
    ) -> Handler[Parameters, Answer]:
        return Handler(_step(step), method)

    return declare


Stream = TypeVar("Stream")


def handles_stream(
    step: Callable[Parameters, Step[Answer]],
) -> Callable[
    [Callable[Concatenate[Any, Stream, Parameters], Answer]],
    Handler[Concatenate[Stream, Parameters], Answer],
]:
    """Like ``handles``, for a step with a stream, which the method has as its first argument."""

    def declare(
        method: Callable[Concatenate[Any, Stream, Parameters], Answer],
    ) -> Handler[Concatenate[Stream, Parameters], Answer]:
        return Handler(_step(step), method)

    return declare


def handlers(*hosts: object) -> Handlers:
    """Return the handlers of these objects, by the step that each takes."""
    return {
        found.step: found.__get__(host, type(host))
        for host in hosts
        for kind in reversed(type(host).__mro__)
        for found in vars(kind).values()
        if isinstance(found, Handler)
    }


def take(known: Handlers, step: Step[Answer], *stream: object) -> Answer:
    """Have a step taken by its handler."""
    answer: Answer = known[type(step)](*stream, **vars(step))
    return answer


def _step(step: Callable[..., Step[Any]]) -> type[Step[Any]]:
    if not (isinstance(step, type) and issubclass(step, Step)):
        raise TypeError(f"{step} is no step")
    return step
