"""Which of the files around a policy holds VecNormalize's statistics of its observations.

The archive does not say that there are any, and every tool puts them somewhere else. Known are

- ``NAME_vecnormalize.pkl``, ``vec_normalize_NAME.pkl``, ... beside ``NAME.zip``: the policy's own; so is
  ``best_vecnormalize.pkl`` beside ``best_model.zip`` where no other policy has that name;
- ``rl_model_vecnormalize_128_steps.pkl`` beside ``rl_model_128_steps.zip`` (SB3's ``CheckpointCallback``): its own;
- ``Env-v3/vecnormalize.pkl`` beside ``Env-v3.zip`` (RL Zoo): its own; beside ``best_model.zip``: of the training;
- ``vecnormalize.pkl``, ``vec_normalize.pkl``, ``vecnorm.pkl``, ``env.pkl``, ... beside it: of the training;
- any of them without an ending, as ``VecNormalize.save("vecnormalize")`` writes it;
- the same in the folder above, where no other policy lies (``EvalCallback``'s ``best_model/best_model.zip``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_ENDINGS = (".pkl", ".pickle", ".pk", ".p")
_WORDS = re.compile(
    r"(?<![a-z0-9])(vec_?normali[sz]e[rd]?|vec_?norm|normali[sz]e[rd]?|normali[sz]ation|norm|vec_?env|venv|env|stats|"
    r"statistics|obs|rms|running|mean|std|wrapper|train|training)(?![a-z0-9])"
)
_SAYS = re.compile(r"vec_?norm|normali[sz]|(?<![a-z0-9])(norm|obs_?rms|vec_?env|venv|env|stats|statistics)(?![a-z0-9])")
_GENERAL = re.compile(r"(?<![a-z0-9])(model|policy|agent|weights|checkpoint|ckpt|net|network)(?![a-z0-9])")
_NOT = re.compile(r"replay_?buffer|rollout_?buffer|optimi[sz]er")


@dataclass(frozen=True)
class Found:
    """Where the statistics are.

    Attributes:
        path: relative to the policy's folder; ``None``: nowhere, or it is not clear where.
        several: those that could be meant, where that is not clear.
        beside: those that are there and belong to something else, as far as their names say.
    """

    path: str | None = None
    several: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def find(name: str, files: Sequence[str], read: Callable[[str], bytes], head: Callable[[str], bytes]) -> Found:
    """Choose among the files around a policy.

    Args:
        name: of the policy's file without its ending.
        files: in its folder (``a.pkl``), in the folders in it (``b/a.pkl``) and in the one above (``../a.pkl``).
        read: a file's bytes; two files of the same bytes are one.
        head: a file's first bytes, in which a pickle of ``VecNormalize`` names its class.
    """
    mine = _rest(name)
    candidates = [path for path in files if _may_be(path, head)]
    policies = {_rest(_stem(path)) for path in files if path.endswith(".zip") and "/" not in path} - {mine}
    alone = _general(mine) not in {"", *policies, *(_general(other) for other in policies)}
    own, shared, above, others = [], [], [], []
    for path in candidates:
        folder, _, file = path.rpartition("/")
        rest, place = _rest(_stem(file)), _rest(folder)
        if folder == "..":
            above += [path] if rest in ("", mine) else []
        elif (_is_of(rest, mine) or (alone and _general(rest) == _general(mine))) and (not folder or place == mine):
            own.append(path)
        elif rest:
            others.append(path)
        elif folder and place == mine:
            own.append(path)
        elif folder and place in policies and not _one_of_several(name):
            others.append(path)  # the folder of another policy beside
        else:
            shared.append(path)
    unclear = [path for path in others if _rest(_stem(path.rpartition("/")[2])) not in policies and "/" not in path]
    for group in (own, shared + unclear if shared else []):
        different = _different(group, read)
        if len(different) == 1:
            return Found(different[0])
        if different:
            return Found(several=tuple(different))
    if not others and above and not any(path.startswith("../") and path.endswith(".zip") for path in files):
        different = _different(above, read)
        return Found(different[0]) if len(different) == 1 else Found(several=tuple(different))
    return Found(beside=(*others, *above))


def usual(name: str) -> list[str]:
    """Where to look where a store does not list its files."""
    steps = re.fullmatch(r"(.*?)_?(\d+_steps)", name)
    words = ("vecnormalize", "vec_normalize")
    return [
        *(f"{name}_{word}.pkl" for word in words),
        *(f"{steps.group(1)}_{word}_{steps.group(2)}.pkl" for word in words if steps),
        *(f"{name}/{word}.pkl" for word in words),
        *(f"{word}.pkl" for word in words),
    ]


def _is_of(rest: str, mine: str) -> bool:
    """The same name, or the same number of steps at its end (``vec_normalize_5000.pkl``, ``model_5000.zip``)."""
    steps = re.fullmatch(r"(\d+)(_steps)?", rest)
    numbered = steps is not None and bool(re.search(rf"_{steps.group(1)}(_steps)?$", mine))
    return bool(mine) and (rest == mine or numbered)


def _general(rest: str) -> str:
    """What a name says beside that it is a model's."""
    return re.sub(r"_+", "_", _GENERAL.sub("", rest)).strip("_")


def _one_of_several(name: str) -> bool:
    """``best_model``, ``rl_model_128_steps``: one of several policies of the training that the folder is of."""
    return bool(re.search(r"best|final|last|latest|_steps$|checkpoint|model", name.lower()))


def _may_be(path: str, head: Callable[[str], bytes]) -> bool:
    name = path.rpartition("/")[2].lower()
    if _NOT.search(name):
        return False
    if "." not in name:
        return bool(_SAYS.search(_words(name))) and b"VecNormalize" in head(path)
    if not name.endswith(_ENDINGS):
        return False
    return bool(_SAYS.search(_words(_stem(name)))) or b"VecNormalize" in head(path)


def _different(paths: Iterable[str], read: Callable[[str], bytes]) -> list[str]:
    seen: dict[bytes, str] = {}
    found = list(paths)
    if len(found) < 2:
        return found
    for path in found:
        seen.setdefault(read(path), path)
    return list(seen.values())


def _stem(file: str) -> str:
    return file.rpartition(".")[0] or file


def _words(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _rest(text: str) -> str:
    """What a name says beside that it is a normaliser's: whose it is."""
    return re.sub(r"_+", "_", _WORDS.sub("", _words(text))).strip("_")
