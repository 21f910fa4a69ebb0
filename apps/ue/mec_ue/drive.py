"""Drive one UE or several along a trace, and report where they are to RLapp."""

from __future__ import annotations

import argparse
import json
import logging
import math
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from .attachment import Attachment, AttachmentError, HostAttachment, SimulatedAttachment
from .handover import A3Settings
from .mobile import Mobile, Moment
from .orders import Drives, Order, Orders
from .radio import ENVIRONMENTS, CellsError, Radio, read_cells
from .reporter import Reporter, Tells
from .trace import Trace, TraceError
from .trace_file import read_trace

# Below RLapp's URL.
LOCATIONS = "/api/locations"
HANDOFFS = "/api/handoffs"
# Who looks at a map wants to know where a UE is, not where it was.
_LOCATION_USEFUL_S = 10.0
_HANDOFF_USEFUL_S = 30.0
_CLOSE_WITHIN_S = 2.0
# Who sees to a handoff: RLapp, from the locations; RLapp, asked for it; the UE.
HANDOFF_BY = ("rlapp", "ask", "ue")
# A step is found again in its own time, which is not quite a multiple of it.
_ROUNDING = 1e-6


class Driver:
    """One UE on its way: measures, reports where it is, and hands off.

    Args:
        name: the UE.
        mobile: its way.
        attachment: its cell.
        told: whom it tells.
        begun_s: when its time 0 is.
        report_s: how often it reports its location.
        asks: asks for a handoff that event A3 names.
        moves: changes its cell itself then.
    """

    def __init__(
        self,
        name: str,
        mobile: Mobile,
        attachment: Attachment,
        told: Tells,
        *,
        begun_s: float,
        report_s: float = 0.5,
        asks: bool = False,
        moves: bool = False,
    ) -> None:
        self.handoffs = 0
        self._name = name
        self._mobile = mobile
        self._attachment = attachment
        self._told = told
        self._begun_s = begun_s
        self._report_s = report_s
        self._asks = asks
        self._moves = moves
        self._cell = attachment.cell()
        self._report_at_s = 0.0

    def arrived(self, time_s: float) -> bool:
        """Whether it has come to its end."""
        return self._mobile.arrived(time_s)

    def tick(self, time_s: float) -> None:
        """Measure, and do what follows; `time_s` is the UE's own time."""
        cell = self._attachment.cell()
        changed = cell != self._cell
        self.handoffs += changed
        self._cell = cell
        moment = self._mobile.measure(time_s, cell)
        # As on a real UE, an event is reported at once: RLapp hands off on it.
        if changed or moment.handoff_to or time_s >= self._report_at_s:
            self._report_at_s = time_s + self._report_s
            self._told.post(LOCATIONS, self._location(moment), _LOCATION_USEFUL_S)
        if moment.handoff_to:
            self._hand_off(cell, moment.handoff_to)

    def _hand_off(self, source: str, target: str) -> None:
        if self._asks:
            message = {
                "ue": self._name,
                "source_cell": source,
                "target_cell": target,
                "ho_status": "IN_EXECUTION",
                # What is posted again for want of an answer is still one handoff.
                "key": secrets.token_hex(8),
            }
            self._told.post(HANDOFFS, message, _HANDOFF_USEFUL_S)
        if self._moves:
            self._attachment.change(target)

    def _location(self, moment: Moment) -> dict[str, Any]:
        place = moment.fix.position
        now = datetime.fromtimestamp(self._begun_s + moment.report.time_s, UTC)
        signals = moment.report.signal_dbm
        return {
            "ue": self._name,
            "time": now.isoformat(timespec="milliseconds"),
            "lat": round(place.lat, 7),
            "lon": round(place.lon, 7),
            "speed_mps": round(moment.fix.speed_mps, 2),
            "heading_deg": round(moment.fix.heading_deg, 1),
            "cell": moment.report.serving,
            "signal_dbm": {cell: round(dbm, 1) for cell, dbm in signals.items()},
        }


class Printed:
    """Prints what would be told, one JSON object a line."""

    def post(self, path: str, content: Mapping[str, Any], useful_s: float) -> None:
        """Print it."""
        del path, useful_s
        sys.stdout.write(json.dumps(content) + "\n")


class Clock:
    """The time of the UEs: so many times faster than ours, in steps.

    Where there is more to do than there is time for, steps are left out, and the time stays right.
    """

    def __init__(self, step_s: float, times_faster: float) -> None:
        self._step_s = step_s
        self._times_faster = times_faster
        self._begun_s = time.monotonic()

    def next(self, time_s: float) -> float:
        """Wait for the step after `time_s`."""
        now_s = (time.monotonic() - self._begun_s) * self._times_faster
        step = math.floor(max(time_s, now_s) / self._step_s + _ROUNDING) + 1
        time.sleep(max(0.0, (step * self._step_s - now_s) / self._times_faster))
        return step * self._step_s


def drive(
    drivers: Sequence[Driver],
    clock: Clock,
    duration_s: float,
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Drive until all have arrived, for so long in the time of the UEs, or while it is wanted."""
    time_s = 0.0
    while time_s < duration_s and wanted():
        under_way = [driver for driver in drivers if not driver.arrived(time_s)]
        if not under_way:
            return
        for driver in under_way:
            driver.tick(time_s)
        time_s = clock.next(time_s)


def drive_as_ordered(
    options: argparse.Namespace,
    orders: Orders,
    drives: Drives,
    told: Tells,
    clock: Callable[[], Clock],
) -> NoReturn:
    """Drive what RLapp orders, and stand while it orders nothing."""
    number = -1
    while True:
        order = orders.other_than(number)
        number = order.number
        if order.trace is None:
            drives.tell("ready", number)
            continue
        try:
            drivers = _ordered(options, order, drives, told)
            drives.tell("driving", number)
            drive(drivers, clock(), options.duration_s, partial(orders.wants, order))
        except (TraceError, CellsError, AttachmentError) as error:
            drives.tell("failed", number, str(error))
        else:
            if orders.wants(order):
                drives.tell("arrived", number)


def _ordered(
    options: argparse.Namespace, order: Order, drives: Drives, told: Tells
) -> list[Driver]:
    """The UE that an order is for, at the beginning of its trace."""
    file = drives.file(order.trace or "")
    if file is None:
        raise TraceError(f"{order.trace}: there is no trace of that name any more")
    how = {
        "trace": file,
        "speed_mps": order.speed_mps or options.speed_mps,
        "loop": order.loop,
        "reverse": order.reverse,
    }
    return drivers_of(argparse.Namespace(**{**vars(options), **how}), told)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m mec_ue.drive", description=__doc__)
    parser.add_argument(
        "trace",
        type=Path,
        help="a .gpx, .geojson or .csv (time,lat,lon) file; with --ordered a folder of such",
    )
    parser.add_argument("--ue", help="this UE (default: the name of this host)")
    parser.add_argument(
        "--cells", type=Path, default=Path("/etc/mec-ue/cells.json"), help="where the cells stand"
    )

    way = parser.add_argument_group("its way")
    way.add_argument("--speed-mps", type=float, help="its speed (default: by the trace's times)")
    way.add_argument("--reverse", action="store_true", help="from the end to the beginning")
    way.add_argument("--loop", action="store_true", help="begin again at the end")
    way.add_argument("--duration-s", type=_positive, default=math.inf, help="end after so long")
    way.add_argument("--times-faster", type=_positive, default=1.0, help="than ours, its time runs")
    way.add_argument(
        "--simulate",
        type=_count,
        metavar="N",
        help="N UEs, evenly along the trace, named by --ue and a number; no host changes its cell",
    )

    told = parser.add_argument_group("RLapp")
    told.add_argument("--rlapp", metavar="URL", help="left out, reports are printed")
    told.add_argument(
        "--ordered",
        action="store_true",
        help="drive which trace of the folder RLapp orders, how and when it does; never ends",
    )
    told.add_argument("--token-file", type=Path, help="the token with which it reports")
    told.add_argument("--ca", type=Path, help="certificates to trust (default: the system's)")
    told.add_argument("--report-s", type=_positive, default=0.5, help="(default: 0.5)")
    told.add_argument(
        "--handoff-by",
        choices=HANDOFF_BY,
        default="rlapp",
        help="who sees to a handoff: RLapp from the reports; RLapp, asked by the UE (ask); the UE,"
        " which changes its cell itself (default: rlapp)",
    )

    radio = parser.add_argument_group("radio")
    radio.add_argument("--environment", choices=sorted(ENVIRONMENTS), default="umi")
    radio.add_argument("--shadowing-db", type=float, default=0.0, help="standard deviation")
    radio.add_argument("--seed", type=int, default=0, help="of the shadowing")
    radio.add_argument("--measure-s", type=_positive, default=0.2, help="(default: 0.2)")
    radio.add_argument("--filter-coefficient", type=int, choices=range(20), default=4, metavar="K")
    radio.add_argument("--a3-offset-db", type=float, default=A3Settings.offset_db)
    radio.add_argument("--a3-hysteresis-db", type=float, default=A3Settings.hysteresis_db)
    radio.add_argument("--a3-time-to-trigger-s", type=float, default=A3Settings.time_to_trigger_s)
    options = parser.parse_args(arguments)
    if options.ordered and not options.rlapp:
        parser.error("--ordered: who orders? --rlapp is missing")
    if options.ordered and options.simulate not in (None, 1):
        parser.error("--ordered: an order is for one UE; start one process for each")
    return options


def drivers_of(options: argparse.Namespace, told: Tells) -> list[Driver]:
    """The UEs that the options ask for."""
    trace = read_trace(options.trace, options.speed_mps)
    trace = trace.reversed() if options.reverse else trace
    radio = Radio(
        read_cells(options.cells),
        options.environment,
        shadowing_db=options.shadowing_db,
        seed=options.seed,
    )
    a3 = A3Settings(options.a3_offset_db, options.a3_hysteresis_db, options.a3_time_to_trigger_s)
    count = options.simulate or 1
    begun_s = time.time()
    drivers = []
    if not options.simulate:
        trace = joined(trace, radio, HostAttachment().cell())
    for number in range(count):
        mobile = Mobile(
            trace,
            radio,
            a3,
            filter_coefficient=options.filter_coefficient,
            loop=options.loop,
            ahead_s=number * trace.duration_s / count,
        )
        drivers.append(
            Driver(
                _name(options, number),
                mobile,
                _simulated(mobile) if options.simulate else HostAttachment(),
                told,
                begun_s=begun_s,
                report_s=options.report_s,
                asks=options.handoff_by == "ask",
                # Nobody else changes a cell that is only simulated.
                moves=options.handoff_by == "ue" or bool(options.simulate),
            )
        )
    return drivers


def joined(trace: Trace, radio: Radio, cell: str) -> Trace:
    """The trace of a UE that is in a cell: a round begins where this is the strongest."""
    if trace.is_round:
        for time_s in range(math.floor(trace.duration_s)):
            if radio.strongest(trace.at(time_s).position) == cell:
                return trace.begun_at(time_s)
    return trace


def _name(options: argparse.Namespace, number: int = 0) -> str:
    name: str = options.ue or socket.gethostname()
    return f"{name}{number + 1}" if options.simulate else name


def _simulated(mobile: Mobile) -> SimulatedAttachment:
    cell = mobile.first_cell(0.0)
    if cell is None:
        raise CellsError("no cell is heard where the trace begins")
    return SimulatedAttachment(cell)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not within 1 to 1000")
    return value


def _token(options: argparse.Namespace) -> str | None:
    if options.token_file is None:
        return None
    token: str = options.token_file.read_text(encoding="utf-8").strip()
    return token


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _serve_orders(options: argparse.Namespace, reporter: Reporter, token: str | None) -> None:
    """Drive as RLapp orders until a signal comes."""
    name = _name(options)
    drives = Drives(options.trace, name, reporter)
    orders = Orders(options.rlapp, name, token, options.ca)
    with suppress(KeyboardInterrupt):
        drive_as_ordered(
            options,
            orders,
            drives,
            reporter,
            lambda: Clock(options.measure_s, options.times_faster),
        )
    orders.close()
    reporter.close(_CLOSE_WITHIN_S)


def main() -> None:
    """The command: drives, and prints at the end what came of it."""
    options = parse()
    logging.basicConfig(level=logging.WARNING, format="drive: %(message)s")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        token = _token(options)
        reporter = Reporter(options.rlapp, token, options.ca) if options.rlapp else None
        if options.ordered and reporter is not None:
            _serve_orders(options, reporter, token)
            return
        drivers = drivers_of(options, reporter or Printed())
        clock = Clock(options.measure_s, options.times_faster)
        # A drive in a loop ends in no other way than by a signal.
        with suppress(KeyboardInterrupt):
            drive(drivers, clock, options.duration_s)
        summary = {"ues": len(drivers), "handoffs": sum(driver.handoffs for driver in drivers)}
        if reporter is not None:
            reporter.close(_CLOSE_WITHIN_S)
            summary |= {
                "sent": reporter.sent,
                "refused": reporter.refused,
                "dropped": reporter.dropped,
            }
        sys.stderr.write(json.dumps(summary) + "\n")
    except (TraceError, CellsError, AttachmentError, OSError, ValueError) as error:
        sys.exit(f"drive: {error}")


if __name__ == "__main__":
    main()
