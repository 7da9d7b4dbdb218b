"""Methods with several teachers."""

from limbeck.methods.multi_teacher.agreeing_teachers import agreeing_teachers
from limbeck.methods.multi_teacher.averaged_teachers import averaged_teachers
from limbeck.methods.multi_teacher.ca_mkd import ca_mkd
from limbeck.methods.multi_teacher.domain_teachers import domain_teachers
from limbeck.methods.multi_teacher.drawn_teacher import drawn_teacher
from limbeck.methods.multi_teacher.eb_kd import eb_kd
from limbeck.methods.multi_teacher.gated_teachers import gated_teachers
from limbeck.methods.multi_teacher.merged_classes import merged_classes
from limbeck.methods.multi_teacher.multi_teacher_hints import multi_teacher_hints

__all__ = [
    "agreeing_teachers",
    "averaged_teachers",
    "ca_mkd",
    "domain_teachers",
    "drawn_teacher",
    "eb_kd",
    "gated_teachers",
    "merged_classes",
    "multi_teacher_hints",
]
