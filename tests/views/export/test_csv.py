import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from gradlab.tables import SCHEMAS, rows_frame
from gradlab.views.export.exporting import export_run
from tests.views.export.vocabulary import a_run
from tests.views.synthetic import INF, NAN, ODD_RUNS, changed


@pytest.mark.parametrize("options", ODD_RUNS.values(), ids=ODD_RUNS)
def test_csv_is_read_back_the_same(options, tmp_path):
    run = a_run(tmp_path, **options)
    assert export_run(run, "csv") == run.path / "export" / "csv"
    for name, schema in SCHEMAS.items():
        flat = {column: pl.String if isinstance(kind, pl.List) else kind for column, kind in schema.items()}
        back = pl.read_csv(run.path / "export" / "csv" / f"{name}.csv", schema=flat)
        for column in (column for column, kind in schema.items() if isinstance(kind, pl.List)):
            lists = [text and json.loads(text) for text in back[column]]
            back = back.with_columns(pl.Series(column, lists, dtype=schema[column]))
        assert_frame_equal(back, getattr(run, name), check_exact=True)


def test_csv_carries_lists_of_names(tmp_path):
    names = [None, [], ["a, b", 'say "c"', "d;\n"]]
    rows = [{"module": str(number), "before": before} for number, before in enumerate(names)]
    run = changed(a_run(tmp_path), modules=rows_frame("modules", rows))
    back = pl.read_csv(export_run(run, "csv") / "modules.csv")["before"]
    assert [text and json.loads(text) for text in back] == names


def test_csv_tells_null_from_nan(tmp_path):
    layers = {"delta": lambda step, layer, depth: (None, NAN, INF, -INF, 1.0)[layer], "kinds": ("weight",)}
    folder = export_run(a_run(tmp_path, depth=4, steps=[0], **layers), "csv", tmp_path / "some where")
    text = pl.read_csv(folder / "layers.csv", infer_schema=False)["delta_rms"].to_list()
    assert text == [None, "NaN", "inf", "-inf"]


def test_csv_carries_columns_that_it_has_never_heard_of(tmp_path):
    run = a_run(tmp_path)
    run = changed(run, layers=run.layers.with_columns(pl.lit(0.5).alias("sharpness"), pl.lit("a,b\n").alias("note")))
    back = pl.read_csv(export_run(run, "csv") / "layers.csv")
    assert set(back["sharpness"]) == {0.5}
    assert set(back["note"]) == {"a,b\n"}
