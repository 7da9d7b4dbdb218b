"""Methods across modalities: a student that reads one field of an item, and a teacher that reads another."""

from limbeck.methods.cross_modal.cmkd import cmkd
from limbeck.methods.cross_modal.contrastive_transfer import contrastive_transfer
from limbeck.methods.cross_modal.supervision_transfer import supervision_transfer

__all__ = ["cmkd", "contrastive_transfer", "supervision_transfer"]
