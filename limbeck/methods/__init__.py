"""Published methods: functions that return what they decide of a run, with the defaults of the paper, by paradigm.

    from limbeck import methods

    job = Distillation(teacher=teacher, task=task, **methods.call("tinybert", {"layers": 4}, teacher=teacher, task=task))
    job = Distillation(student, teacher, task=task, **methods.call("hinton", {"temperature": 2}, task=task))

In a recipe: `method: {tinybert: {layers: 4, hidden: 312}}`.
"""

from limbeck.methods.cross_modal import cmkd, contrastive_transfer, supervision_transfer
from limbeck.methods.data_free import (
    belief_matching,
    contrastive_inversion,
    dafl,
    deep_inversion,
    dfad,
    dfq,
    zero_shot_kd,
)
from limbeck.methods.dynamic import (
    annealed,
    balanced,
    ctkd,
    dynamic_temperature,
    easy_by_labels,
    teachers_by_uncertainty,
    uncertain_items,
    wsld,
)
from limbeck.methods.forgetting import learning_without_forgetting
from limbeck.methods.heterogeneous import cross_architecture, deit, ofa_kd, progressive_projection, takd
from limbeck.methods.multi_teacher import (
    agreeing_teachers,
    averaged_teachers,
    ca_mkd,
    domain_teachers,
    drawn_teacher,
    eb_kd,
    gated_teachers,
    merged_classes,
    multi_teacher_hints,
)
from limbeck.methods.offline import (
    bert_pkd,
    distilbert,
    embeddings,
    hinton,
    minilm,
    minilm_v2,
    mobilebert,
    static_embeddings,
    tinybert,
)
from limbeck.methods.online import kdcl, mutual_learning, one
from limbeck.methods.registration import (
    DistillationArguments,
    call,
    check_arguments,
    needs,
    paradigm,
    parameters,
    reads_models_or_data,
    registry,
)
from limbeck.methods.self_distillation import (
    be_your_own_teacher,
    born_again,
    cs_kd,
    dlb,
    label_smoothing,
    mean_teacher,
    ps_kd,
    virtual_teacher,
)

__all__ = [
    "DistillationArguments",
    "agreeing_teachers",
    "annealed",
    "averaged_teachers",
    "balanced",
    "be_your_own_teacher",
    "belief_matching",
    "bert_pkd",
    "born_again",
    "ca_mkd",
    "call",
    "check_arguments",
    "cmkd",
    "contrastive_inversion",
    "contrastive_transfer",
    "cross_architecture",
    "cs_kd",
    "ctkd",
    "dafl",
    "deep_inversion",
    "deit",
    "dfad",
    "dfq",
    "distilbert",
    "dlb",
    "domain_teachers",
    "drawn_teacher",
    "dynamic_temperature",
    "easy_by_labels",
    "eb_kd",
    "embeddings",
    "gated_teachers",
    "hinton",
    "kdcl",
    "label_smoothing",
    "learning_without_forgetting",
    "mean_teacher",
    "merged_classes",
    "minilm",
    "minilm_v2",
    "mobilebert",
    "multi_teacher_hints",
    "mutual_learning",
    "needs",
    "ofa_kd",
    "one",
    "paradigm",
    "parameters",
    "progressive_projection",
    "ps_kd",
    "reads_models_or_data",
    "registry",
    "static_embeddings",
    "supervision_transfer",
    "takd",
    "teachers_by_uncertainty",
    "tinybert",
    "uncertain_items",
    "virtual_teacher",
    "wsld",
    "zero_shot_kd",
]
