"""The full screen of the queues: keys, choices, columns, and what is drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from math import nan

import pytest
from rich.cells import cell_len
from rich.console import Console

from exporter.bullmq import queue_of
from exporter.state.schedulers import FirstSchedulers, SchedulerState
from exporter.state.snapshots import Snapshot
from exporter.top.columns import MIN_NAME, layout
from exporter.top.detail_screen import condensed, detail_screen
from exporter.top.findings_screen import findings_screen
from exporter.top.keys import Key, KeyReader
from exporter.top.rows import Look, look_at, matches
from exporter.top.session import Session
from exporter.top.table_screen import table_screen
from exporter.top.text import count, safe, sparkline
from exporter.views.recording import record_histories
from tests.support.factories import config, moment, snapshot, stuck

CLOCK = "12:00:00 UTC"
KEYS = [("api", "bull", name) for name in ("a", "b", "c", "d", "e", "f")]


class TestKeys:
    def test_characters_and_keys(self) -> None:
        reader = KeyReader()
        assert reader.read(b"q\x1b[A\x1bOB\r\x7f\x03\x1b[5~\xc3") == [
            *("q", Key.UP, Key.DOWN, Key.ENTER, Key.BACKSPACE, Key.CTRL_C, Key.PAGE_UP),
        ]
        assert reader.read(b"\xa4\xff") == ["ä", "\ufffd"]

    def test_a_sequence_may_come_in_parts(self) -> None:
        reader = KeyReader()
        assert [reader.read(bytes([byte])) for byte in b"\x1b[6~"] == [[], [], [], [Key.PAGE_DOWN]]

    def test_escape_is_known_when_nothing_follows(self) -> None:
        reader = KeyReader()
        assert reader.read(b"\x1b") == []
        assert reader.is_waiting
        assert reader.read(b"") == [Key.ESCAPE]
        assert not reader.is_waiting
        assert reader.read(b"\x1bq") == [Key.ESCAPE, "q"]
        assert reader.read(b"\x1b\x1b[A") == [Key.ESCAPE, Key.UP]

    def test_unknown_keys_are_dropped(self) -> None:
        reader = KeyReader()
        assert reader.read(b"\x1b[1;5C\x1b[15~\x1b[200~\x00\x01x") == ["x"]
        assert reader.read(b"\x1b[") == []
        assert reader.read(b"") == [Key.ESCAPE]


class TestSession:
    def test_a_selected_queue_stays_selected_when_it_moves(self) -> None:
        session = Session()
        assert session.show(KEYS, 3, ()) == 0
        session.press(Key.DOWN)
        assert session.show(list(reversed(KEYS)), 3, ()) == 4
        assert (session.selected, session.first) == (KEYS[1], 2)

    def test_the_first_row_is_selected_whichever_it_is(self) -> None:
        session = Session()
        session.show(KEYS, 3, ())
        assert session.show(list(reversed(KEYS)), 3, ()) == 0

    def test_the_row_of_a_queue_that_is_gone_is_selected(self) -> None:
        session = Session()
        session.show(KEYS, 3, ())
        session.press(Key.END)
        assert session.show(KEYS[:-1], 3, ()) == 4
        assert session.show((), 3, ()) == 0
        assert session.press(Key.ENTER) is False
        assert session.opened is None

    def test_moves_stay_within_the_table(self) -> None:
        session = Session()
        session.show(KEYS, 3, ())
        for key, row in ((Key.UP, 0), (Key.PAGE_DOWN, 2), ("G", 5), ("j", 5), ("k", 4), ("g", 0)):
            session.press(key)
            assert session.selected == KEYS[row], key
        assert session.first == 0

    def test_sorting_goes_round(self) -> None:
        session = Session(sort="longest")
        session.show(KEYS, 3, ["impact", "name", "ready"])
        orders = []
        for key in "sssS":
            session.press(key)
            orders.append(session.sort)
        assert orders == ["impact", "name", "ready", "name"]
        session.press("r")
        assert session.reverse
        session.press("s")
        assert not session.reverse

    def test_what_is_typed_is_the_filter(self) -> None:
        session = Session()
        session.show(KEYS, 3, ())
        for key in ("/", "q", "b", "x", Key.BACKSPACE):
            assert not session.press(key)
        assert (session.pattern, session.typing, session.blocked) == ("qb", True, False)
        session.press(Key.ENTER)
        assert (session.pattern, session.typing) == ("qb", False)
        session.press("/")
        session.press(Key.ESCAPE)
        assert (session.pattern, session.typing) == ("", False)

    def test_escape_shows_all(self) -> None:
        session = Session(pattern="x")
        session.press("b")
        assert session.blocked
        session.press(Key.ESCAPE)
        assert (session.pattern, session.blocked) == ("", False)

    def test_ctrl_c_ends_it_always_and_q_unless_it_is_typed(self) -> None:
        assert Session().press("q")
        assert Session(opened=KEYS[0]).press("q")
        assert not Session(typing=True).press("q")
        assert Session(typing=True).press(Key.CTRL_C)

    def test_an_open_queue_is_scrolled(self) -> None:
        session = Session()
        session.show(KEYS, 3, ())
        session.press(Key.ENTER)
        assert session.opened == KEYS[0]
        assert session.show_lines(10, 4) == 0
        session.press(Key.PAGE_DOWN)
        assert session.show_lines(10, 4) == 3
        session.press(Key.END)
        assert session.show_lines(10, 4) == 6
        assert session.show_lines(3, 4) == 0
        session.press(Key.ESCAPE)
        assert session.opened is None


class TestColumns:
    def headers(self, width: int, name: int = 10) -> list[str]:
        return [column.header for column, _ in layout(width, name).columns]

    def test_a_wider_table_shows_all_that_a_narrower_one_does(self) -> None:
        before: set[str] = set()
        for width in range(10, 250):
            shown = self.headers(width)
            assert before <= set(shown)
            assert len(shown) == len(set(shown))
            before = set(shown)

    @pytest.mark.parametrize("longest", [1, 14, 60, 300])
    def test_the_table_is_never_wider_than_the_screen(self, longest: int) -> None:
        for width in range(MIN_NAME, 250):
            found = layout(width, longest)
            assert found.name + sum(each + 1 for _, each in found.columns) <= width

    def test_what_matters_most_is_left_in_a_narrow_table(self) -> None:
        assert self.headers(35) == ["READY", "OLDEST"]
        important = {"READY", "TREND", "OLDEST", "DRAIN", "WORKERS", "BLOCKED BY"}
        assert important <= set(self.headers(78, name=60))

    def test_a_wide_table_shows_long_names_in_full(self) -> None:
        assert layout(198, 60).name == 60


class TestText:
    def test_names_cannot_change_the_screen(self) -> None:
        assert safe("a\x1b[2J\nb\u202ec\x9b") == "a?[2J?b?c?"
        assert cell_len(safe("☎️")) == 1

    def test_numbers_have_seven_characters_at_most(self) -> None:
        numbers = (None, 0, 999_999, 1_000_000, 123_456_789, 123_456_789_012)
        shown = ["?", "0", "999,999", "1,000k", "123M", "123G"]
        assert [count(number) for number in numbers] == shown
        assert all(len(count(10**power - 1)) <= 7 for power in range(1, 20))

    def test_a_sparkline(self) -> None:
        assert sparkline([9, 0, nan, 1, 1000], 4) == "▁ ▂█"
        assert sparkline([0, 0], 3) == " ▁▁"
        assert sparkline([], 2) == "  "

    def test_neighboring_values_share_a_cell(self) -> None:
        found = condensed([1.0, nan, nan, 2.0, 4.0], 3)
        assert (found[0], found[2]) == (1.0, 3.0)
        assert found[1] != found[1]

    def test_a_filter_is_a_part_of_the_name_or_a_glob(self) -> None:
        assert matches("Mail-Out", "mail")
        assert matches("mail-out", "M*t")
        assert not matches("mail-out", "a*")
        assert matches("a[b", "")


def look_of(*snapshots: Snapshot) -> Look:
    known = moment(*snapshots, settings=config(*{each.connection for each in snapshots}))
    record_histories(known)
    return look_at(known, {})


HOSTILE = "[bold]x[/bold]\x1b[31m\x1b]0;title\x07\nnext"


def hostile() -> Look:
    row = {
        **stuck(),
        "worker_alive": 0,
        "active": 0,
        "paused": 0,
        "oldest_waiting_seconds": 400.0,
        "oldest_waiting_job": b"4711",
        "schedulers": 3,
        "first_schedulers": FirstSchedulers(
            [HOSTILE.encode(), b"0"], {HOSTILE.encode(): SchedulerState.LATE}
        ),
    }
    names = (HOSTILE, "日本語キュー", "📧-emails", "e\u0301" * 30, "\u202egnp.exe", "plain")
    return look_of(snapshot("api", {("bull", name): dict(row) for name in names}))


def drawn(
    screen: object, width: int, height: int, *, no_color: bool = False
) -> tuple[list[str], str]:
    """The lines of a screen, and all that was sent to the terminal."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        height=height,
        force_terminal=True,
        color_system="standard",
        markup=False,
        emoji=False,
        highlight=False,
        no_color=no_color,
    )
    console.print(screen, end="")
    sent = out.getvalue()
    return re.sub(r"\x1b\[[0-9;]*m", "", sent).split("\n")[:-1], sent


def table(look: Look, session: Session, width: int, height: int) -> list[str]:
    return drawn(table_screen(look, session, width, height, CLOCK), width, height)[0]


def two_findings() -> Look:
    """A queue without workers, and one that is paused."""
    row = {**stuck(), "worker_alive": 0, "paused": 0, "oldest_waiting_seconds": 400.0}
    paused = {**stuck(), "paused": 1}
    return look_of(snapshot("api", {("bull", "mail"): row, ("bull", "sms"): paused}))


class TestTable:
    @pytest.mark.parametrize(("width", "height"), [(30, 8), (80, 24), (120, 40), (200, 50)])
    def test_it_fills_the_screen_and_no_more(self, width: int, height: int) -> None:
        for session in (Session(), Session(pattern="none"), Session(typing=True)):
            lines = table(hostile(), session, width, height)
            assert len(lines) == height
            assert all(cell_len(line) <= width for line in lines)

    def test_columns_are_aligned_for_wide_characters(self) -> None:
        lines = table(hostile(), Session(), 120, 20)
        header = lines[2]
        end = cell_len(header[: header.index("READY") + 5])
        for line in lines[3:9]:
            cells = 0
            for place, char in enumerate(line):
                cells += cell_len(char)
                if cells == end:
                    assert line[place] == "7"
                    break

    def test_names_are_neither_markup_nor_control_characters(self) -> None:
        for screen in (
            table_screen(hostile(), Session(), 120, 40, CLOCK),
            table_screen(hostile(), Session(pattern=HOSTILE), 120, 40, CLOCK),
        ):
            lines, _ = drawn(screen, 120, 40)
            assert not any("\x1b" in line or "\x07" in line for line in lines)
        assert any("[bold]x[/bold]?[31m" in line for line in table(hostile(), Session(), 120, 40))

    def test_long_names_end_with_an_ellipsis(self) -> None:
        look = look_of(snapshot("api", {("bull", "x" * 300): {}}))
        assert "xxx… " in table(look, Session(), 80, 24)[3]

    def test_connections_and_prefixes_are_named_if_there_are_several(self) -> None:
        one = snapshot("api", {("bull", "mail"): {}})
        assert table(look_of(one), Session(), 80, 24)[3].startswith("> mail ")
        two = snapshot("jobs", {("bull", "mail"): {}, ("x", "mail"): {}})
        lines = table(look_of(one, two), Session(sort="name"), 80, 24)
        assert [line[2:16].strip() for line in lines[3:6]] == [
            "api/bull:mail",
            "jobs/bull:mail",
            "jobs/x:mail",
        ]

    def test_the_selected_queue_is_explained(self) -> None:
        lines = table(hostile(), Session(pattern="plain"), 120, 20)
        assert lines[-2].startswith("bull:plain is blocked by no workers: no worker is connected")
        assert "✖" in lines[3]

    def test_the_findings_are_below_the_rows_as_far_as_they_fit(self) -> None:
        lines = table(two_findings(), Session(), 120, 30)
        assert lines[5] == ""
        assert lines[-5].startswith("  no worker is connected; start one")
        assert lines[-4].startswith("i Queue paused: bull:sms on api")
        assert lines[-3].startswith("  bull:sms on api is paused")
        lines = table(two_findings(), Session(), 120, 9)
        assert lines[-4:-2] == ["", "f shows 3 more lines"]
        assert "f shows" not in "\n".join(table(two_findings(), Session(), 120, 8)[:-1])

    def test_queues_that_cannot_be_read_are_as_they_were(self) -> None:
        row = {**stuck(), "worker_alive": 0, "paused": 0, "oldest_waiting_seconds": 400.0}
        gone = look_of(snapshot("api", {("bull", "mail"): row}, ago=3600))
        assert gone.ready_points(gone.rows["api", "bull", "mail"]) == ((), 0)
        screen = table_screen(gone, Session(), 120, 20, CLOCK)
        lines, sent = drawn(screen, 120, 20)
        assert lines[3].startswith(">  mail".replace("  ", " "))
        assert re.search(r" 7 .* 7m .* as of \d\d:\d\d:\d\d", lines[3])
        assert not re.search("no workers|✖", "".join(lines[3:-2]).split("as of")[0])
        assert "\x1b[2;7m" in sent
        assert re.match(r"bull:mail as of [0-9:]{8}: it cannot be read now", lines[-2])

    def test_no_queues(self) -> None:
        empty = look_of(snapshot("api", {}))
        assert "No queues to show" in "\n".join(table(empty, Session(), 80, 24))
        text = "\n".join(table(hostile(), Session(pattern="zz"), 80, 24))
        assert "No queue matches the filter; Esc shows all." in text

    def test_without_colors_blocked_and_selected_rows_are_marked(self) -> None:
        screen = table_screen(hostile(), Session(), 80, 24, CLOCK)
        lines, sent = drawn(screen, 80, 24, no_color=True)
        assert lines[3].startswith(">✖")
        assert re.search(r"\x1b\[7m", sent)
        assert not re.search(r"\x1b\[([0-9;]*;)?[34][0-9]", sent)


class TestFindings:
    def lines(self, look: Look, session: Session, width: int = 80, height: int = 24) -> list[str]:
        console = Console(width=width, height=height, file=io.StringIO())
        return drawn(findings_screen(look, session, console, CLOCK), width, height)[0]

    def test_they_are_all_there(self) -> None:
        session = Session()
        session.press("f")
        assert session.findings
        lines = self.lines(two_findings(), session)
        assert lines[1].startswith("✖ No worker connected: bull:mail on api")
        assert "  no worker is connected; start one on this Redis with this prefix" in lines[3]
        assert any(line.startswith("i Queue paused: bull:sms on api") for line in lines)
        session.press("f")
        assert not session.findings

    def test_they_are_scrolled_and_fill_the_screen(self) -> None:
        session = Session(findings=True)
        for _ in range(2):
            lines = self.lines(two_findings(), session, width=30, height=6)
            assert len(lines) == 6
            assert all(cell_len(line) <= 30 for line in lines)
            session.press(Key.END)
        assert session.line > 0
        session.press(Key.ESCAPE)
        assert (session.findings, session.line) == (False, 0)

    def test_none(self) -> None:
        well = look_of(snapshot("api", {("bull", "mail"): {"paused": 0}}))
        text = "\n".join(self.lines(well, Session(findings=True)))
        assert "✓ All is well" in text
        assert "There are no findings." in text


class TestDetails:
    def lines(self, look: Look, session: Session, width: int = 80, height: int = 200) -> list[str]:
        console = Console(width=width, height=height, file=io.StringIO())
        assert session.opened is not None
        screen = detail_screen(look, session.opened, session, console, CLOCK)
        return drawn(screen, width, height)[0]

    def test_what_the_page_of_a_queue_shows(self) -> None:
        text = "\n".join(self.lines(hostile(), Session(opened=("api", "bull", "plain"))))
        for part in (
            "plain · api · bull",
            "Blocked by no workers: no worker is connected",
            "waiting: 7",
            "oldest ready: 7m, job 4711",
            "[bold]x[/bold]?[31m?]0;title??next: late for ",
            "and 2 more",
            "The last hour\n  Ready ",
            "Never, at this rate.",
            "No worker is connected.",
            "LLEN bull:plain:wait",
        ):
            assert part in text

    @pytest.mark.parametrize(("width", "height"), [(20, 6), (80, 24), (200, 50)])
    def test_it_fills_the_screen_and_no_more(self, width: int, height: int) -> None:
        for name in (HOSTILE, "日本語キュー", "gone"):
            lines = self.lines(hostile(), Session(opened=("api", "bull", name)), width, height)
            assert len(lines) == height
            assert all(cell_len(line) <= width for line in lines)
            assert not any("\x1b" in line or "\x07" in line for line in lines)

    def test_a_queue_that_is_not_known_any_more(self) -> None:
        lines = self.lines(hostile(), Session(opened=("api", "bull", "gone")))
        assert any("The queue is not known now" in line for line in lines)

    def test_scrolling_shows_the_rest(self) -> None:
        session = Session(opened=("api", "bull", "plain"))
        first = self.lines(hostile(), session, height=12)
        session.press(Key.END)
        last = self.lines(hostile(), session, height=12)
        assert "kubectl exec" in "".join(last)
        assert "kubectl exec" not in "".join(first)


def test_the_trend_is_from_the_history() -> None:
    look = look_of(snapshot("api", {("bull", "mail"): {"waiting": 5}}))
    points: Sequence[float] = look.ready_points(look.rows["api", "bull", "mail"])[0]
    assert points[-1] == 5
    assert look.rows["api", "bull", "mail"].queue == queue_of("bull", "mail")
