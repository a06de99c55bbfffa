"""The page about the NATS listener says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from hubbub.model.address import MAX_LEVELS
from hubbub.protocols.nats.mapping import KEY_HEADER
from hubbub.protocols.nats.settings import Settings

PAGE = (Path(__file__).parent.parent / "docs" / "protocols" / "nats.md").read_text()
SETTINGS = PAGE.split("## Settings")[1].split("##")[0]


def test_the_page_lists_every_setting_with_its_default():
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", SETTINGS, re.MULTILINE)
    listed = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    defaults = Settings()
    assert listed == {
        name: f"{value:g}" if isinstance(value, float) else str(value or "none")
        for name, value in ((n, getattr(defaults, n)) for n in Settings.__struct_fields__)
    }


def test_the_page_names_the_limits_and_headers():
    assert f"at most {MAX_LEVELS} levels" in PAGE
    assert f"at most {Settings().max_subscriptions:,} subscriptions" in PAGE
    assert f"{Settings().max_pending // 1024 // 1024} MiB" in PAGE
    assert KEY_HEADER.decode() in PAGE
