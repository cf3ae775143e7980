"""What mends an export, by the names that AWS's console and API give its settings.

Holds the words only. A rule says what it needs; the layout of the delivery says which of
AWS's two services made the export, and so which settings it has.
"""

from __future__ import annotations

from typing import Literal

from orchestration.bill.manifests import Layout

Need = Literal["hours", "resources", "columns", "format", "split", "currency", "copy"]
"""What an export lacks; ``copy``: it is the file that is wrong, and no setting."""

_LEGACY: dict[Need, str] = {
    "hours": "set Time granularity to Hourly (API: TimeUnit=HOURLY)",
    "resources": "choose Include resource IDs (API: AdditionalSchemaElements=RESOURCES)",
    "split": "choose Split cost allocation data (API:"
    " AdditionalSchemaElements=SPLIT_COST_ALLOCATION_DATA)",
    "format": "set Compression type to GZIP, ZIP or Parquet (API: Format=textORcsv with"
    " Compression=GZIP or ZIP, or Format=Parquet)",
}
_CUR2: dict[Need, str] = {
    "hours": "set Time granularity to Hourly (API: TIME_GRANULARITY=HOURLY in"
    " TableConfigurations)",
    "resources": "choose Include resource IDs (API: INCLUDE_RESOURCES=TRUE in"
    " TableConfigurations)",
    "columns": "choose all columns under Column selection (API: QueryStatement)",
    "split": "choose Split cost allocation data (API:"
    " INCLUDE_SPLIT_COST_ALLOCATION_DATA=TRUE in TableConfigurations)",
    "format": "set Compression type and file format to Parquet or gzip (API:"
    " Format=PARQUET, or Format=TEXT_OR_CSV with Compression=GZIP)",
}
_COPY = (
    "Copy the file again from S3. If it is the same there, ask AWS Support to deliver the"
    " month again."
)
_DOLLARS = "Point PODLEDGER_BILL at exports of payers that AWS bills in USD."


def remedy(need: Need, layout: Layout) -> str:
    """One or two sentences that mend an export, with AWS's names of the settings.

    Args:
        need: What the export lacks.
        layout: How AWS laid it out: whether it is a legacy report or CUR 2.0.
    """
    if need == "currency":
        return _DOLLARS
    is_legacy = not layout.startswith("cur2")
    setting = (_LEGACY if is_legacy else _CUR2).get(need)
    if setting is None:
        # A legacy report always has all of its columns.
        return _COPY
    place = (
        "In Cost and Usage Reports (legacy), edit the report or create one:"
        if is_legacy
        else "In Data Exports, edit the export or create one:"
    )
    return (
        f"{place} {setting}. AWS applies it to deliveries from now on; ask AWS Support to"
        " deliver an earlier month again."
    )
