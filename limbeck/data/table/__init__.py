"""Tables of numeric and categorical columns: which columns are read, and how they become vectors."""

from limbeck.data.table.columns import TableColumns, TableOptions, find_columns, read_table
from limbeck.data.table.encoder import EncodedTable, TableEncoder, encode_tables
from limbeck.data.table.storage import TableStorage

__all__ = [
    "EncodedTable",
    "TableColumns",
    "TableEncoder",
    "TableOptions",
    "TableStorage",
    "encode_tables",
    "find_columns",
    "read_table",
]
