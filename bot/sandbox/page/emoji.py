"""The emoji behind the short names that Slack messages commonly use. A name that is not here is shown as typed."""

import re

NAMES: dict[str, str] = {
    "+1": "👍", "-1": "👎", "100": "💯", "alarm_clock": "⏰", "arrow_down": "⬇️", "arrow_left": "⬅️",
    "arrow_right": "➡️", "arrow_up": "⬆️", "arrows_counterclockwise": "🔄", "ballot_box_with_check": "☑️",
    "bank": "🏦", "bar_chart": "📊", "battery": "🔋", "bell": "🔔", "blue_heart": "💙", "book": "📖",
    "boom": "💥", "bug": "🐛", "bulb": "💡", "calendar": "📆", "chart_with_downwards_trend": "📉",
    "chart_with_upwards_trend": "📈", "check": "✔️", "clap": "👏", "clipboard": "📋", "clock1": "🕐",
    "clock3": "🕒", "closed_lock_with_key": "🔐", "coin": "🪙", "credit_card": "💳", "date": "📅",
    "dollar": "💵", "email": "✉️", "envelope": "✉️", "exclamation": "❗", "eyes": "👀", "fire": "🔥",
    "gear": "⚙️", "gem": "💎", "gift": "🎁", "globe_with_meridians": "🌐", "green_heart": "💚",
    "grey_question": "❔", "hammer_and_wrench": "🛠️", "heart": "❤️", "heavy_check_mark": "✔️",
    "heavy_minus_sign": "➖", "heavy_multiplication_x": "✖️", "heavy_plus_sign": "➕", "hourglass": "⌛",
    "hourglass_flowing_sand": "⏳", "house": "🏠", "inbox_tray": "📥", "information_source": "ℹ️", "key": "🔑",
    "large_blue_circle": "🔵", "large_green_circle": "🟢", "large_orange_circle": "🟠",
    "large_yellow_circle": "🟡", "leftwards_arrow_with_hook": "↩️", "link": "🔗", "lock": "🔒",
    "loudspeaker": "📢", "mag": "🔍", "mailbox": "📫", "memo": "📝", "money_with_wings": "💸", "moneybag": "💰",
    "moon": "🌔", "mute": "🔇", "no_bell": "🔕", "no_entry": "⛔", "no_entry_sign": "🚫",
    "octagonal_sign": "🛑", "ok": "🆗", "ok_hand": "👌", "outbox_tray": "📤", "package": "📦",
    "page_facing_up": "📄", "party_popper": "🎉", "pencil": "📝", "pencil2": "✏️", "point_down": "👇",
    "point_right": "👉", "pray": "🙏", "pushpin": "📌", "question": "❓", "raised_hands": "🙌", "receipt": "🧾",
    "recycle": "♻️", "red_circle": "🔴", "repeat": "🔁", "robot_face": "🤖", "rocket": "🚀",
    "rotating_light": "🚨", "satellite": "🛰️", "shield": "🛡️", "shrug": "🤷", "slightly_frowning_face": "🙁",
    "slightly_smiling_face": "🙂", "smile": "😄", "smiley": "😃", "snowflake": "❄️", "sos": "🆘",
    "sparkles": "✨", "speech_balloon": "💬", "star": "⭐", "star2": "🌟", "stopwatch": "⏱️", "sunny": "☀️",
    "tada": "🎉", "telephone": "☎️", "thinking_face": "🤔", "thumbsdown": "👎", "thumbsup": "👍",
    "ticket": "🎫", "timer_clock": "⏲️", "trophy": "🏆", "unlock": "🔓", "warning": "⚠️", "wastebasket": "🗑️",
    "wave": "👋", "white_check_mark": "✅", "white_circle": "⚪", "wrench": "🔧", "x": "❌", "zap": "⚡",
    "zzz": "💤",
}  # fmt: skip

_SHORTCODE = re.compile(r":([a-z0-9_+'-]+):")


def replace(text: str) -> str:
    """Put the pictures in place of the short names."""
    return _SHORTCODE.sub(lambda match: NAMES.get(match[1], match[0]), text)
