"""What was seen of a question's replies: which rows have news."""

from __future__ import annotations

from exporter.collectors.queues.kept import Kept, Seen


def test_only_rows_whose_reply_is_another_have_news() -> None:
    seen = Seen(4)
    assert seen.news([0, 2], [b"a", [b"b"]]) == [0, 2]
    assert seen.news([0, 2], [b"a", [b"b"]]) == []
    assert seen.news([0, 2], [b"a", [b"c"]]) == [2]


def test_a_row_that_is_not_asked_about_any_more_has_news_once() -> None:
    seen = Seen(3)
    seen.news([0, 1], [b"a", b"b"])
    assert seen.news([0], [b"a"]) == [1]
    assert seen[1] is None
    assert seen.news([0], [b"a"]) == []


def test_several_replies_a_row_without_the_empty_ones() -> None:
    seen = Seen(2)
    assert seen.news_of_several([0, 1], [2, 1], [[b"p", b"1"], [], [b"q", b"2"]]) == [0, 1]
    assert seen[0] == [[b"p", b"1"]]
    assert seen.news_of_several([0, 1], [1, 1], [[b"p", b"1"], [b"q", b"2"]]) == []


def test_what_another_question_told_can_be_taken_back() -> None:
    seen = Seen(1)
    seen.news_of_several([0], [1], [[b"p", b"1"]])
    seen.put(0, [[b"p", b"1"], [b"q", b"2"]])
    assert seen.news_of_several([0], [1], [[b"p", b"1"]]) == [0]


def test_after_forgetting_everything_is_news() -> None:
    kept = Kept(2)
    kept.wait_tail.news([0], [b"a"])
    kept.forget_replies()
    assert kept.wait_tail.news([0], [b"a"]) == [0, 1]


def test_rows_go_with_their_queue() -> None:
    former = Kept(2)
    former.versions[1] = "bullmq:6.7.0"
    former.wait_tail.news([1], [b"a"])
    kept = Kept.of([None, None, (former, 1)])
    assert kept.versions == [None, None, "bullmq:6.7.0"]
    assert kept.wait_tail.news([2], [b"a"]) == []
