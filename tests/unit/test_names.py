"""Names of queues that people confuse, and how a hint shows them."""

from __future__ import annotations

import pytest

from exporter.diagnosis.hints import quoted
from exporter.diagnosis.names import alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mail", "mail"),
        ("sms ", "sms"),
        ("sms\t", "sms"),
        ("sms\u00a0", "sms"),
        ("push-jobs", "push_jobs"),
        ("push.jobs", "pushJobs"),
        ("{mail}", "mail"),
        # copied from a web page: a zero width space, a soft hyphen
        ("push\u200bjobs", "pushjobs"),
        ("\ufeffpush\u00adjobs", "pushjobs"),
        # one letter, or a letter and an accent
        ("caf\u00e9", "cafe\u0301"),
        # full width, as an input method writes it
        ("\uff4d\uff41\uff49\uff4c", "mail"),
    ],
)
def test_names_that_people_confuse(one: str, other: str) -> None:
    assert alike(one) == alike(other)


@pytest.mark.parametrize("other", ["mails", "mai", "mail2", "emails", "caf\u00e9"])
def test_other_names_differ(other: str) -> None:
    assert alike("mail") != alike(other)
    assert alike("cafe") != alike(other)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mail", '"mail"'),
        ("sms ", '"sms "'),
        ("sms\t", '"sms\\t"'),
        ('quo"ted', '"quo\\"ted"'),
        ("caf\u00e9", '"caf\u00e9"'),
        ("\u043f\u043e\u0447\u0442\u0430", '"\u043f\u043e\u0447\u0442\u0430"'),
        ("cafe\u0301", '"cafe\\u0301"'),
        ("push\u200bjobs", '"push\\u200bjobs"'),
        ("sms\u00a0", '"sms\\u00a0"'),
        ("\U000e0001mail", '"\\udb40\\udc01mail"'),
    ],
)
def test_what_cannot_be_seen_is_escaped(name: str, shown: str) -> None:
    assert quoted(name) == shown
