"""Turns templates into pages, in the reader's language."""

from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Cookie, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from processor.console.explain import KINDS, named
from processor.console.naming import pool_name
from processor.console.notices import NOTICES, notice_sentence
from processor.console.problems import ProblemError
from processor.console.said import SAID, said_of_problem
from processor.console.tenants import segment_of
from processor.console.text import LOCALES, TEXTS, Text, best_language

LANGUAGE: Final = "credits_language"


def _environment(text: Text) -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.install_gettext_translations(text.translations, newstyle=True)  # type: ignore[attr-defined]
    made.globals.update(
        text=text,
        languages={code: locale.get_display_name(locale) for code, locale in LOCALES.items()},
        kinds=KINDS,
        notice_names=NOTICES,
        named=partial(named, text=text),
        pool_name=partial(pool_name, text=text),
        notice_sentence=partial(notice_sentence, text=text),
        said_texts=SAID,
        segment_of=segment_of,
    )
    return made


_ENVIRONMENTS: Final = {code: _environment(text) for code, text in TEXTS.items()}


async def _language(
    request: Request, credits_language: Annotated[str | None, Cookie()] = None, lang: str | None = None
) -> str:
    return best_language(lang or credits_language, request.headers.get("accept-language"))


Language = Annotated[str, Depends(_language)]


def render(request: Request, language: str, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Fills in a template."""
    values.setdefault("session", None)
    page = _ENVIRONMENTS[language].get_template(template).render(path=request.url.path, **values)
    return HTMLResponse(page, status, headers={"Content-Language": language, "Vary": "Accept-Language, Cookie"})


def error_page(request: Request, problem: ProblemError) -> Response:
    """Shows a problem to a person; without a session, the sign-in page."""
    if problem.code == "signed_out":
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    wanted = request.query_params.get("lang") or request.cookies.get(LANGUAGE)
    language = best_language(wanted, request.headers.get("accept-language"))
    said = said_of_problem(problem.code)
    page = render(request, language, "problem.html", problem.status, problem=problem, said=said)
    page.headers.update(problem.headers or {})
    return page
