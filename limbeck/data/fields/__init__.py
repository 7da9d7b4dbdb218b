"""Items of several named fields, each of a modality: an image, a sound, a text and a row of a table of one thing."""

from limbeck.data.fields.modalities import ArrayModality, AudioModality, ImageModality, TableModality, TextModality
from limbeck.data.fields.modality import Modality, modality, named_modalities
from limbeck.data.fields.modality import registry as modalities
from limbeck.data.fields.preprocessing import save_preprocessing
from limbeck.data.fields.storage import FieldStorage, field_items, map_field, with_reads
from limbeck.data.fields.views import FieldViews, ViewSpecs, build_view, check_views, default_view, named_views

__all__ = [
    "ArrayModality",
    "AudioModality",
    "FieldStorage",
    "FieldViews",
    "ImageModality",
    "Modality",
    "TableModality",
    "TextModality",
    "ViewSpecs",
    "build_view",
    "check_views",
    "default_view",
    "field_items",
    "map_field",
    "modalities",
    "modality",
    "named_modalities",
    "named_views",
    "save_preprocessing",
    "with_reads",
]
