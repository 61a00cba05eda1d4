"""Whoever changes in Slack is known as what they are now, though nobody asked."""

from bot.sandbox.world import OWNER

from ..stage import Stage, says


async def test_whoever_changes_their_language_is_answered_in_it_the_next_time(stage: Stage) -> None:
    assert "Amount in US dollars" in says(await stage.form())
    known = stage.bot.directory.remembered

    await stage.slack.speak(OWNER, "da-DK")
    await stage.until(lambda: known(OWNER).locale == "da-DK")

    assert "Beløb i amerikanske dollar" in says(await stage.form())
    assert stage.slack.timeouts == []
