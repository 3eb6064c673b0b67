"""What someone who is about to use a registered generator should know, in words."""

from collections import Counter

from tabsyn_core.generator import Generator

_WHO = {
    "diffusion": "drawn by the diffusion model, jointly",
    "guided tree": "drawn by a tree over the columns before, guided by a ridge regression",
    "tree": "drawn by a tree over the columns before",
    "identity": "computed from the others by an identity",
    "constant": "constant",
}
"""The words of ``Generator.explain()["drawn_by"]``, in the order in which a row comes about."""


_MOLECULES = (
    "The model also realizes molecules, and for that holds the training molecules, pieces of them and the training "
    "rows: it is as confidential as those. register.molecules: false in params.yaml leaves them out."
)


def model_card(generator: Generator, *, molecules: bool = False) -> str:
    """Markdown: which columns are drawn by what, and what the model file tells about its training rows.

    Args:
        generator: The fitted generator.
        molecules: Whether the model is served with a realizer, too.
    """
    drawn = Counter(generator.explain()["drawn_by"])
    lines = [f"- {count} {_WHO.get(who, who)}" for who, count in sorted(drawn.items(), key=_in_order)]
    columns = f"Fitted to {generator.rows:,} rows. Of its {sum(drawn.values())} columns are"
    return "\n\n".join(
        [
            columns,
            "\n".join(lines),
            _about_training_rows(generator, has_trees="tree" in drawn or "guided tree" in drawn),
            *([_MOLECULES] if molecules else []),
        ]
    )


def _in_order(counted: tuple[str, int]) -> int:
    return [*_WHO, counted[0]].index(counted[0])


def _about_training_rows(generator: Generator, *, has_trees: bool) -> str:
    if generator.privacy is not None:
        return (
            f"{generator.privacy} What was logged beside the model (figures, report, fitted families) is not private."
        )
    heads = " The trees hold values of training rows, column by column, so" if has_trees else " So"
    return (
        "There is no formal privacy guarantee: how near the rows come to the training rows is measured only (dcr)."
        f"{heads} give away sampled rows, if need be, and not the model itself, unless the training rows may be given "
        "away too. train.privacy in params.yaml trains a model that may be shared."
    )
