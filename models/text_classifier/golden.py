"""The texts whose labels travel with an artifact, so that every worker can check the model it has loaded.

They are written by hand, so no text of the data ends up in an artifact. The first ones are ordinary; the rest are the
edges of what the spec allows.
"""

TEXTS: tuple[str, ...] = (
    "The goalie stopped thirty shots, and the playoffs begin on Sunday.",
    "A pitcher who walks nine batters in five innings will not win many games.",
    "Whoever holds the private key can decrypt the message; the cipher itself is public.",
    "The shuttle reached orbit at dawn, and the lunar probe follows in spring.",
    "Solder the capacitor between the regulator and ground, then measure the voltage again.",
    "The senator voted for the tax bill, whatever the president and the voters said.",
    "From: someone@example.com\nSubject: Re: Orbit of the new satellite\n\nWhen will the rocket be launched?\n",
    "Subject: encryption\r\nOrganization: none\r\n\r\nIs a longer key always better?\r\n",
    "In article <1@example.com> someone wrote:\n> Who leads the league in home runs?\n\nNobody we know.\n",
    "THE TEAM TRADED ITS CAPTAIN FOR TWO DRAFT PICKS.",
    "the team traded its captain for two draft picks.",
    "?!… — .,;",
    " ",
    "a",
    "🏒🥅 🚀🛰️ 🔐",
    "כדור הבסיס נחת מעבר לגדר",
    "المركبة الفضائية وصلت إلى المدار",
    "\u0301\u0308\u0327",
    "İstanbul'da ışık, Iğdır'da ISIK",  # noqa: RUF001  # letters that Turkish locales treat in their own way
    "秘密鍵で暗号を解く",
)
