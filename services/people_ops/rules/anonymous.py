"""An application without what must not count: who somebody is, in distinction from what they can.

Names, addresses, pronouns, gender, age and dates, origin, religion, health, family and photographs are taken out by rule before
a model sees the text. Years of work stay: a span of years becomes its length, so that it says how long and not when.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_I = re.IGNORECASE
_LABELLED = re.compile(
    r"^[ \t]*(?:date of birth|place of birth|birth ?(?:date|day|place)|d\.?o\.?b\.?|born|age|sex|gender|pronouns?|nationality|"
    r"citizenship|ethnicity|race|religion|marital status|family status|children|home address|address|photo(?:graph)?)\s*[:=].*$",
    _I | re.MULTILINE,
)
_ADDRESSES = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:https?://|www\.)\S+|\b(?:linkedin|facebook|instagram|xing)\.com/\S+"
    r"|\b\d{1,5} (?:[A-Z]\w+ ){1,3}(?:street|st|avenue|ave|road|rd|lane|boulevard|blvd|drive)\b\.?",
    _I,
)
_PHONE = re.compile(r"(?<!\w)\+?\d[\d ()./-]{7,}\d\b")
_SPAN = re.compile(
    r"\b((?:19|20)\d\d)\s*(?:-|–|—|to|till|until)\s*((?:19|20)\d\d|present|now|today|current(?:ly)?)\b", _I
)
_SINCE = re.compile(r"\bsince (?:\w+ )?((?:19|20)\d\d)\b", _I)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATES = re.compile(
    rf"\b\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{2,4}}\b|\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d\d\b"
    rf"|\b\d{{1,2}}\.? {_MONTH},? (?:19|20)\d\d\b|\b(?:19|20)\d\d-\d\d-\d\d\b|\b(?:19|20)\d\d\b",
    _I,
)
_AGE = re.compile(
    r"\b(?:i am|i'm|aged?|at the age of)\s+\d\d\b(?:[ -]years?[ -](?:old|of age)\b|[ -]years?\b(?! (?:of|in|as|with|at|on)\b)"
    r"|(?![ -](?:years?|months|weeks|percent)\b))"
    r"|\b\d\d[- ]years?[- ](?:old|young)\b"
    r"|\bin (?:my|his|her|their) (?:early |mid[- ]?|late )?(?:twenties|thirties|forties|fifties|sixties)\b"
    r"|\b(?:retiree|pensioner|senior citizen|millennial|gen(?:eration)? z|baby boomer)\b",
    _I,
)
_BIRTH = re.compile(r"\b(?:was |were )?born\b[^.;\n]*", _I)
_FAMILY = re.compile(
    r"\b(?:(?:happily )?married|divorced|widow(?:ed|er)?|unmarried|i(?:'m| am) (?:single|engaged)|newly ?wed|pregnan(?:t|cy)|"
    r"(?:maternity|paternity|parental) leave|stay[- ]at[- ]home (?:mum|mom|dad|mother|father|parent)|"
    r"(?:(?:single|working|proud) )?(?:mother|father|mum|mom|dad|parent)(?: of (?:\w+ ){0,2}\w+)?|"
    r"(?:my |a |an |with )?(?:wife|husband|spouse|fianc[ée]e?|girlfriend|boyfriend)|my (?:kids?|children|sons?|daughters?|family)|"
    r"(?:one|two|three|four|five|\d) (?:small |young |grown )?(?:child(?:ren)?|kids?|sons?|daughters?))\b",
    _I,
)
_PRONOUNS = {
    "he": "they",
    "she": "they",
    "him": "them",
    "her": "their",
    "his": "their",
    "hers": "theirs",
    "himself": "themself",
    "herself": "themself",
}
_PRONOUN = re.compile(rf"\b(?:{'|'.join(_PRONOUNS)})\b", _I)
_TRADESPERSON = re.compile(
    r"\b(sales|chair|business|crafts|trades|repair|handy|fore|work|service)(?:man|woman|men|women)\b", _I
)
_GENDER = re.compile(
    r"\b(?:mr|mrs|ms|mx|miss|herr|frau)\b\.?|\b(?:fe)?males?\b|\b(?:wo)?m[ae]n\b|\b(?:girl|boy|lady|ladies|gentlem[ae]n|guy)s?\b|"
    r"\btrans(?:gender|sexual)?\b|\bnon-?binary\b|\b(?:cis|queer|gay|lesbian|bisexual|heterosexual|homosexual)\b",
    _I,
)
_FAITH = re.compile(
    r"\b(?:christian(?:ity)?|catholic|protestant|orthodox|evangelical|muslim|islam(?:ic)?|jew(?:ish)?|hindu|buddhist|sikh|atheist|"
    r"churche?s?|mosque|synagogue|parish)\b",
    _I,
)
_HEALTH = re.compile(
    r"\b(?:disab(?:led|ility|ilities)|handicap(?:ped)?|wheelchair|deaf|"
    r"chronic(?:ally)? ill(?:ness)?|diabet(?:es|ic)|depress(?:ion|ed)|autis(?:m|tic))\b",
    _I,
)
_PHOTO = re.compile(
    r"\b(?:head ?shot|passport photo|photo(?:graph)?s?(?: (?:of me|is|are|attached|enclosed|included))*|picture of me)\b",
    _I,
)
_STATUS = re.compile(
    r"\b(?:immigra\w+|migrants?|refugees?|asylum\w*|foreign(?:er|-born)|green card|visas?|residence permit|work permit|"
    r"citizen(?:s|ship)?|nationalit(?:y|ies)|passport|ethnic\w*|native of [\w ]{2,20}|originally from [\w ]{2,20}|"
    r"came (?:here )?from [\w ]{2,20}|grew up in [\w ]{2,20}|first[- ]generation)\b",
    _I,
)
_TONGUE = re.compile(r"\b(?:native (?:language|speaker(?: of)?)|mother tongue)\b", _I)
_PEOPLES = """
afghan albanian algerian american angolan arab arabic argentin(?:e|ian) armenian asian australian austrian bangladeshi belarusian
belgian bolivian bosnian brazilian british bulgarian cambodian cameroonian canadian caribbean chilean chinese colombian congolese
croat(?:ian)? cuban czech danish dominican dutch ecuadorian egyptian english eritrean estonian ethiopian european filipin[oa]
finnish french georgian german ghanaian greek guatemalan haitian honduran hungarian indian indonesian iranian iraqi irish israeli
italian ivorian jamaican japanese jordanian kazakh kenyan korean kosovar kurdish latin[oax]? hispanic latvian lebanese liberian
libyan lithuanian malaysian mexican moldovan moroccan nepal(?:i|ese) nicaraguan nigerian norwegian pakistani palestinian panamanian
persian peruvian polish portuguese punjabi roma romanian russian salvadoran saudi scottish senegalese serb(?:ian)? singaporean
slovak(?:ian)? slovenian somali spanish sri[ ]lankan sudanese swedish swiss syrian tamil thai tunisian turkish ugandan ukrainian
urdu uruguayan uzbek venezuelan vietnamese welsh yemeni zambian zimbabwean african(?:[ -]american)? caucasian
"""
_COUNTRIES = """
afghanistan albania algeria angola argentina armenia australia austria bangladesh belarus belgium bolivia bosnia brazil bulgaria
cambodia cameroon canada chile china colombia congo croatia cuba denmark ecuador egypt england eritrea estonia ethiopia finland
france germany ghana greece guatemala haiti honduras hungary india indonesia iran iraq ireland israel italy jamaica japan jordan
kazakhstan kenya korea kosovo latvia lebanon liberia libya lithuania malaysia mexico moldova morocco nepal nicaragua nigeria norway
pakistan palestine panama peru philippines poland portugal romania russia salvador scotland senegal serbia singapore slovakia
slovenia somalia spain sudan sweden switzerland syria taiwan thailand tunisia turkey uganda ukraine uruguay uzbekistan venezuela
vietnam wales yemen zambia zimbabwe
"""
_ORIGIN = re.compile(rf"\b(?:{'|'.join((_PEOPLES + _COUNTRIES).split()).replace('[ ]', ' ')})\b", _I)
_LANGUAGES = re.compile(
    r"(?:\bspeak\w*|\bfluent(?:ly)?(?: in)?|\blanguages?\b:?|\bconversational|\bspoken|\bwritten)[\w ,&/]*$", _I
)


def anonymous(text: str, name: str, year: int) -> str:
    """The text without who wrote it. `year` is this one: work that goes on is counted up to it."""
    text = _LABELLED.sub("", text)
    text = _ADDRESSES.sub("[contact]", text)
    text = _without_name(text, name)
    text = _BIRTH.sub("[birth]", text)
    text = _SPAN.sub(lambda found: _length(found[1], found[2], year), text)
    text = _SINCE.sub(lambda found: f"for {_length(found[1], 'now', year)}", text)
    for pattern, instead in _TAKEN_OUT:
        text = pattern.sub(instead, text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _without_name(text: str, name: str) -> str:
    parts = [re.escape(part) for part in re.findall(r"\w+", name) if len(part) > 1]
    return re.sub(rf"\b(?:{'|'.join(parts)})\b", "[name]", text, flags=_I) if parts else text


def _length(first: str, last: str, year: int) -> str:
    end = int(last) if last.isdecimal() else year
    years = max(end - int(first), 0)
    return f"{years} year{'s' * (years != 1)}" if years else "less than a year"


def _neutral(found: re.Match[str]) -> str:
    word = _PRONOUNS[found[0].lower()]
    return word.capitalize() if found[0][0].isupper() else word


def _unless_spoken(found: re.Match[str]) -> str:
    """A language that somebody speaks is a skill; the same word elsewhere is an origin."""
    before = re.split(r"[.;\n]", found.string[: found.start()])[-1]
    return found[0] if _LANGUAGES.search(before) else "[origin]"


_TAKEN_OUT: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_AGE, "[age]"),
    (_DATES, "[date]"),
    (_PHONE, "[contact]"),
    (_FAMILY, "[family]"),
    (_TRADESPERSON, r"\1person"),
    (_PRONOUN, _neutral),
    (_GENDER, "[person]"),
    (_FAITH, "[faith]"),
    (_HEALTH, "[health]"),
    (_PHOTO, "[photo]"),
    (_TONGUE, "fluent in"),
    (_STATUS, "[origin]"),
    (_ORIGIN, _unless_spoken),
)
