"""The pages a buyer comes back to: in their language, loading nothing, believing nothing."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.text import languages, texts_for
from bot.web.build import build
from bot.web.pages import ReturnPages, preferred


@pytest.fixture
def returned() -> list[str]:
    return []


@pytest.fixture
async def client(returned: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    async def on_return(session_id: str) -> None:
        returned.append(session_id)

    transport = httpx.ASGITransport(build(ReturnPages(on_return, texts_for).routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://bot") as client:
        yield client


async def test_a_buyer_who_paid_is_thanked_and_the_payment_looked_into(
    client: httpx.AsyncClient, returned: list[str]
) -> None:
    answer = await client.get("/checkout/done?session_id=cs_test_a1B2", headers={"Accept-Language": "da-DK,en;q=0.5"})

    assert answer.status_code == 200
    assert '<html lang="da" dir="ltr">' in answer.text
    assert f"<h1>{texts_for('da')('page.done.title')}</h1>" in answer.text
    assert "cs_test" not in answer.text
    assert returned == ["cs_test_a1B2"]


async def test_a_buyer_who_went_back_is_told_that_nothing_was_charged(
    client: httpx.AsyncClient, returned: list[str]
) -> None:
    answer = await client.get("/checkout/cancelled?session_id=cs_test_a1B2")

    assert texts_for("en")("page.cancelled.title") in answer.text
    assert returned == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?session_id=",
        "?session_id=pi_1",
        "?session_id=cs_<script>",
        "?session_id=cs_1%0A",
        "?session_id=cs_" + "a" * 300,
    ],
)
async def test_rubbish_is_neither_passed_on_nor_shown(
    client: httpx.AsyncClient, returned: list[str], query: str
) -> None:
    answer = await client.get(f"/checkout/done{query}")

    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert returned == []


@pytest.mark.parametrize("page", ["done", "cancelled"])
async def test_the_browser_may_load_nothing_but_the_style_in_the_page(client: httpx.AsyncClient, page: str) -> None:
    answer = await client.get(f"/checkout/{page}")

    [style] = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith(f"style-src 'sha256-{digest}'")
    assert not re.search(r"https?:|src=|href=|url\(", answer.text)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("da", "da"),
        ("da-DK,da;q=0.9,en-US;q=0.8", "da"),
        ("en;q=0.4, da;q=0.5", "da"),
        ("en, da", "en"),
        ("tlh, da;q=0.3", "da"),
        ("da;q=0, en", "en"),
        ("*, xx-YY;q=2, ;;;, da;q=abc", "en"),
        (",".join(["xx"] * 5000) + ",da", "en"),
    ],
)
def test_the_language_is_the_most_wanted_one_that_there_is(header: str, language: str) -> None:
    assert preferred(header, texts_for).language == language


@given(st.text(max_size=80) | st.text("adenzhq=0.5;-, *", max_size=80))
def test_no_header_is_too_odd(header: str) -> None:
    assert preferred(header, texts_for).language in languages()
