"""`viox eval`: recorded runs as a regression suite for another model, another prompt or another version of a role."""

from __future__ import annotations

import asyncio
import fnmatch
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import orjson
from pydantic import ValidationError

from shared.business import Business, read_business
from shared.errors import BadInput
from shared.evaluation.case import Case
from shared.evaluation.run import Verdict, evaluate, summed
from shared.models import registry
from shared.models.models_file import ROLES, Limits, limits_for
from shared.models.port import ChatModel
from shared.operations import evaluation, identify
from shared.redaction import Redactor
from shared.runtime.forks import with_model
from shared.settings import Settings
from viox import deployment, output
from viox.agents import spec_of
from viox.forks import text_of

PROFILE = "business.yaml"  # of the business that the cases come from


async def add(folder: Path, runs: Sequence[str], *, as_json: bool) -> int:
    """Write a case for each run into the folder."""
    pool = await deployment.pool()
    try:
        cases = [await evaluation.case(pool, await identify.run(pool, given)) for given in runs]
    finally:
        await pool.close()
    written = _write(folder, cases)
    if as_json:
        output.emit({"written": [str(file) for file in written]})
    for file in () if as_json else written:
        output.say(f"{file}: read what it expects, and change what need not be so")
    return output.OK


def _write(folder: Path, cases: Sequence[Case]) -> list[Path]:
    """The files of the cases, with the business profile beside them, whose facts are in every prompt."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{case.agent}-{case.run_id.hex[:12]}.json" for case in cases]
    for file, case in zip(files, cases, strict=True):
        file.write_bytes(orjson.dumps(case.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n")
    profile = deployment.profile("VIOX_BUSINESS")
    if profile and not (folder / PROFILE).exists():
        (folder / PROFILE).write_text(profile.read_text())
    return files


@dataclass(frozen=True, slots=True)
class _Suite:
    """What all cases of a run of the suite share."""

    models: Mapping[str, ChatModel]
    business: Business
    prompt: str | None
    limits: Callable[[str], Callable[[str], Limits]]  # those of the questions of an agent

    async def verdict(self, case: Case) -> Verdict:
        agent = case.agent
        return await evaluate(
            spec_of(agent),
            case,
            self.models[agent],
            business=self.business,
            prompt=self.prompt,
            limits=self.limits(agent),
        )


async def run(folder: Path, *, model: str | None, prompt: Path | None, only: str, at_once: int, as_json: bool) -> int:
    """Work every case anew and say which came out as expected."""
    cases = _cases(folder, only)
    suite = _suite(folder, cases.values(), model, prompt)
    turnstile = asyncio.Semaphore(at_once)

    async def tried(name: str, case: Case) -> tuple[str, Verdict]:
        async with turnstile:
            verdict = await suite.verdict(case)
            if not as_json:
                _tell(name, verdict)
            return name, verdict

    try:
        done = await asyncio.gather(*(tried(name, case) for name, case in cases.items()))
    finally:
        for one in suite.models.values():
            await one.aclose()
    return _sum_up(done, as_json=as_json)


def _cases(folder: Path, only: str) -> dict[str, Case]:
    found = {file.stem: _read(file) for file in sorted(folder.glob("*.json")) if fnmatch.fnmatch(file.stem, only)}
    if not found:
        raise BadInput(
            "eval.no_cases",
            f"{folder} has no case{f' like {only}' if only != '*' else ''}.",
            field="DIR",
            remedy="Make one of a recorded run: `viox eval DIR --add RUN`.",
        )
    return found


def _suite(folder: Path, cases: Iterable[Case], model: str | None, prompt: Path | None) -> _Suite:
    """Raises BadInput naming the option or the key at fault."""
    settings = Settings.load(models=_models_file())
    own = folder / PROFILE
    return _Suite(
        _models(cases, model, settings),
        read_business(own if own.exists() else deployment.profile("VIOX_BUSINESS")),
        text_of(prompt) if prompt else None,
        lambda agent: with_model(
            partial(limits_for, agent, setting=settings.models), {"model": model} if model else None
        ),
    )


def _models_file() -> str | None:
    """As the environment says; a stack that runs without a model says so for its cases."""
    running = (deployment.state() or {}).get("models", [])
    offline = running and all(one["model"] == registry.OFFLINE for one in running)
    return os.environ.get("VIOX_MODELS") or (registry.OFFLINE if offline else None)


def _read(file: Path) -> Case:
    try:
        case = Case.model_validate_json(file.read_bytes())
    except OSError as error:
        raise BadInput("file.unreadable", f"{file}: {error}.", field="DIR", remedy="Make it readable.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            "eval.invalid_case",
            f"{file}: {where}: {first['msg']}.",
            field=where or str(file),
            remedy="Mend the file, or make it anew with --add.",
        ) from error
    if case.agent not in ROLES:
        known = f"One of {', '.join(ROLES)}."
        raise BadInput("eval.invalid_case", f"{file}: {case.agent!r} is not an agent.", field="agent", remedy=known)
    return case


def _models(cases: Iterable[Case], named: str | None, settings: Settings) -> dict[str, ChatModel]:
    """The model of each agent that has a case. Raises BadInput naming the key that is missing."""
    redactor = Redactor()
    agents = dict.fromkeys(case.agent for case in cases)
    if named and settings.models == registry.OFFLINE:
        raise BadInput(
            "option.invalid",
            "VIOX_MODELS=offline runs without a model.",
            field="--model",
            remedy="Unset VIOX_MODELS and set the provider's key.",
        )
    if named and (key := registry.key_missing(named, os.environ)):
        raise BadInput("credential.missing", f"no key for {named}.", field=key, remedy=f"Set {key}.")
    return {agent: registry.model_for(ROLES[agent], spec_of(agent).offline, settings, redactor) for agent in agents}


def _tell(name: str, verdict: Verdict) -> None:
    output.say(f"{'pass' if verdict.passed else 'not tried' if verdict.error else 'FAIL':10}{name}")
    for told in [*verdict.problems, *([verdict.error] if verdict.error else [])]:
        output.say(f"{'':10}{told}")
    if verdict.unusable_turns:
        output.say(f"{'':10}{verdict.unusable_turns} of {verdict.turns} turns could not be used")


def _sum_up(done: Sequence[tuple[str, Verdict]], *, as_json: bool) -> int:
    total = summed([verdict for _, verdict in done])
    if as_json:
        cases = [{"case": name, "passed": verdict.passed} | asdict(verdict) for name, verdict in done]
        output.emit({"total": total, "cases": cases})
    else:
        spent = f"{total['tokens']} tokens (recorded: {total['recorded_tokens']})"
        cost, was = (f"${total[name] / 1e6:.4f}" for name in ("cost_microusd", "recorded_cost_microusd"))
        output.say(f"\n{total['passed']} of {len(done)} cases pass; {spent}, {cost} (recorded: {was})")
    return output.OK if total["passed"] == len(done) else output.FAILED
