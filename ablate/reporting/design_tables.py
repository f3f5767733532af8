"""The tables of a study's designs: effects, aliases, rungs, shares and pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ablate.reporting import design_captions as captions
from ablate.reporting import numbers
from ablate.reporting.comparison import Comparison
from ablate.reporting.design_cells import aliases_of
from ablate.reporting.design_texts import (
    counts,
    each,
    effect_decimals,
    least_decimals,
    share_text,
    with_intervals,
    with_words,
)
from ablate.reporting.named_table import NamedTable
from ablate.reporting.precision import column_decimals
from ablate.study.study import Block


def design_tables(comparison: Comparison) -> list[NamedTable]:
    """Those that have something to show, in the order of the study's designs."""
    tables: list[NamedTable] = []
    for number, block in enumerate(comparison.study.blocks):
        for table in _of_block(comparison, number, block):
            same = sum(other.name.rstrip("-0123456789") == table.name for other in tables)
            tables.append(_again(table, same + 1) if same else table)
    return tables


def _again(table: NamedTable, time: int) -> NamedTable:
    name, title = f"{table.name}-{time}", f"{table.title} ({time})"
    return NamedTable(name, title, table.text, table.numbers, table.caption, table.figures)


def _of_block(comparison: Comparison, number: int, block: Block) -> Iterator[NamedTable]:
    designs = comparison.designs
    of = {name: _own(frame, number) for name, frame in vars(designs).items()}
    if len(effects := of["effects"]):
        yield _main(comparison, block, effects[effects["kind"] == "main"])
        if len(pairs := effects[effects["kind"] == "interaction"]):
            yield _crossed_interactions(comparison, block, pairs.reset_index(drop=True))
        yield _variance(comparison, of["variance"])
    if block.aliases:
        yield _aliases(block)
    if len(shares := of["shapley"]):
        yield _shares(comparison, shares, of["totals"])
    if len(rungs := of["rungs"]):
        yield _ladder(comparison, block, rungs, of["totals"])
    if len(interactions := of["interactions"]):
        yield _pairs(comparison, interactions)


def _own(frame: pd.DataFrame, number: int) -> pd.DataFrame:
    if frame.empty:
        return frame
    return frame[frame["block"] == number].drop(columns="block").reset_index(drop=True)


def _main(comparison: Comparison, block: Block, rows: pd.DataFrame) -> NamedTable:
    first = ~rows["effect"].duplicated()
    text = pd.DataFrame(
        {
            "Factor": rows["effect"],
            "Level": rows["levels"],
            "n": counts(rows["n"], rows["planned"]),
            "Effect": with_intervals(comparison, rows["estimate"], rows["low"], rows["high"]),
            "p (Holm)": each(numbers.p_value, rows["p_holm"]),
            "Share of variance": [
                share_text(share) if new else "" for share, new in zip(rows["share"], first, strict=True)
            ],
        }
    )
    text = with_words(text, rows)
    return NamedTable("main-effects", "Main effects", text, rows, captions.main_caption(comparison, block, rows))


def _crossed_interactions(comparison: Comparison, block: Block, rows: pd.DataFrame) -> NamedTable:
    text = pd.DataFrame(
        {
            "First": rows["first"],
            "Second": rows["second"],
            "n": counts(rows["n"], rows["planned"]),
            "Interaction": with_intervals(comparison, rows["estimate"], rows["low"], rows["high"]),
            "p (Holm)": each(numbers.p_value, rows["p_holm"]),
            "Share of variance": each(share_text, rows["share"]),
        }
    )
    caption = captions.interactions_caption(comparison, block, rows)
    return NamedTable("interactions", "Interactions", with_words(text, rows), rows, caption, ("interactions",))


def _variance(comparison: Comparison, rows: pd.DataFrame) -> NamedTable:
    decimals = column_decimals(rows["squares"], ())
    text = pd.DataFrame(
        {
            "Effect": rows["effect"],
            "df": [str(df) for df in rows["df"]],
            "Squares": [
                numbers.plain(value) if decimals is None else numbers.number(value, decimals)
                for value in rows["squares"]
            ],
            "Share of variance": each(share_text, rows["share"]),
            "F": [f"{f:.2f}" if np.isfinite(f) else numbers.NOTHING for f in rows["f"]],
            "p (Holm)": each(numbers.p_value, rows["p_holm"]),
        }
    )
    return NamedTable("variance", "Where the variance comes from", text, rows, captions.variance_caption(comparison))


def _aliases(block: Block) -> NamedTable:
    told: list[tuple[str, str]] = []
    seen: set[str] = set()
    for effect, others in aliases_of(block).items():
        if effect not in seen and others:
            told.append((effect, ", ".join(others)))
            seen.update(others)
    frame = pd.DataFrame(told, columns=["effect", "aliases"])
    text = frame.set_axis(["Effect", "Aliased with"], axis=1)
    return NamedTable("aliases", "Effects that cannot be told apart", text, frame, captions.alias_caption(block))


def _shares(comparison: Comparison, rows: pd.DataFrame, totals: pd.DataFrame) -> NamedTable:
    total = totals[totals["of"] == "shapley"].iloc[0]
    last = {"factor": "total", "level": "", "share": total["estimate"], "planned": rows["planned"].iloc[0]}
    last |= dict(total[["low", "high", "pairs"]])
    every = pd.concat([rows, pd.DataFrame([last])], ignore_index=True)
    text = pd.DataFrame(
        {
            "Factor": every["factor"],
            "Level": every["level"],
            "n": counts(every["pairs"], every["planned"]),
            "Share": with_intervals(comparison, every["share"], every["low"], every["high"]),
        }
    )
    caption = captions.shapley_caption(comparison)
    return NamedTable("shapley", "Shapley shares", text, every, caption, ("shares",))


def _ladder(comparison: Comparison, block: Block, rows: pd.DataFrame, totals: pd.DataFrame) -> NamedTable:
    sign = numbers.MINUS if block.backward else "+"
    every = rows
    for total in totals[totals["of"] == "ladder"].to_dict("records") if len(totals) else []:
        last = {"step": "total", "variant": "", "p_holm": total["p"], "pairs": total["pairs"], "n": 0}
        last |= {"gain": total["estimate"], "gain_low": total["low"], "gain_high": total["high"], "p": total["p"]}
        every = pd.concat([rows, pd.DataFrame([last])], ignore_index=True)
    half = (every["high"] - every["low"]) / 2
    means = column_decimals(every["mean"], half, least=least_decimals(comparison))
    planned = [*rows["planned"], *rows["planned"].tail(1)]  # the total has as many as the top
    fewer = [f"(n = {n})" if 0 < n < most else "" for n, most in zip(every["pairs"], planned, strict=False)]
    rungs = ["everything changed" if block.backward else "foot"]
    rungs += [f"{sign} {step}" for step in rows["step"].iloc[1:]] + ["total"] * (len(every) - len(rows))
    text = pd.DataFrame(
        {
            "Rung": rungs,
            "Variant": every["variant"],
            "n": [*counts(rows["n"], rows["planned"]), *[""] * (len(every) - len(rows))],
            comparison.metric_title: [
                numbers.with_half_width(m, h, means) for m, h in zip(every["mean"], half, strict=True)
            ],
            "Gain": with_intervals(comparison, every["gain"], every["gain_low"], every["gain_high"], fewer),
            "p (Holm)": each(numbers.p_value, every["p_holm"]),
        }
    )
    caption = captions.ladder_caption(comparison, block)
    return NamedTable("ladder", "Ladder", text, every, caption, ("waterfall",))


def _pairs(comparison: Comparison, rows: pd.DataFrame) -> NamedTable:
    decimals = effect_decimals(comparison, rows["interaction"], rows["low"], rows["high"])
    alone = {
        title: [numbers.with_half_width(value, np.nan, decimals, sign=True) for value in rows[name]]
        for title, name in (("First alone", "alone_first"), ("Second alone", "alone_second"), ("Together", "together"))
    }
    text = pd.DataFrame(
        {
            "First": rows["first"],
            "Second": rows["second"],
            "n": counts(rows["pairs"], rows["planned"]),
            **alone,
            "Interaction": with_intervals(comparison, rows["interaction"], rows["low"], rows["high"]),
            "p (Holm)": each(numbers.p_value, rows["p_holm"]),
        }
    )
    caption = captions.pairs_caption(comparison)
    return NamedTable("pairs", "Pairs of changes", text, rows, caption, ("interactions",))
