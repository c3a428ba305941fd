"""The demo runs the guide's own code, and its texts are translated into French."""

import gettext
import re
from pathlib import Path

import pytest

import demo
from tests.acceptance import guide

#: Words that both languages share.
SAME_IN_FRENCH = {"API", "Administration", "Message", "Notifications"}
DEMO = Path(demo.__file__).parent


@pytest.mark.parametrize(
    ("name", "snippet"),
    [
        ("guide-chat.js", guide.CHAT),
        ("guide-typing.js", guide.TYPING),
        ("guide-notifications.js", guide.NOTIFICATIONS),
    ],
)
def test_file_is_the_guides_snippet_with_a_token_and_nothing_else(name: str, snippet: str):
    assert (DEMO / "static" / "demo" / name).read_text(encoding="utf-8") == guide.with_token(snippet)


def test_no_script_writes_html():
    for script in (DEMO / "static" / "demo").glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", script.read_text("utf-8")
        )


def test_every_text_is_translated():
    """After adding a text to a template run makemessages and compilemessages; this test names what is
    missing."""
    with (DEMO / "locale/fr/LC_MESSAGES/django.mo").open("rb") as compiled:
        french = gettext.GNUTranslations(compiled)
    used: set[str] = set()
    for template in (DEMO / "templates").rglob("*.html"):
        text = template.read_text("utf-8")
        used.update(re.findall(r"""{% translate ["']([^"']+)["'] %}""", text))
        for block in re.findall(r"{% blocktranslate[^%]*%}(.*?){% endblocktranslate %}", text, re.DOTALL):
            trimmed = " ".join(line.strip() for line in block.strip().splitlines())
            used.add(re.sub(r"{{ (\w+) }}", r"%(\1)s", trimmed))
    used.update(re.findall(r'_\("([^"]+)"\)', (DEMO / "views.py").read_text("utf-8")))

    assert len(used) > 30
    assert {
        text for text in used if not french.gettext(text).strip() or french.gettext(text) == text
    } <= SAME_IN_FRENCH
