"""The papers behind a recipe, as BibTeX: its objectives cite themselves, everything else is looked up here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel

from limbeck.core.objective import Objective, registry

# By what a recipe calls it: models, views, parts of the training, and options of objectives.
PAPERS: dict[str, str] = {
    "model resnet_cifar": """
        @inproceedings{he2016deep,
            title = {Deep Residual Learning for Image Recognition},
            author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
            booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
            year = {2016},
            eprint = {1512.03385},
            archiveprefix = {arXiv},
        }
    """,
    "model mobile_resnet": """
        @inproceedings{sandler2018mobilenetv2,
            title = {{MobileNetV2}: Inverted Residuals and Linear Bottlenecks},
            author = {Sandler, Mark and Howard, Andrew and Zhu, Menglong and Zhmoginov, Andrey and Chen, Liang-Chieh},
            booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
            year = {2018},
            eprint = {1801.04381},
            archiveprefix = {arXiv},
        }
    """,
    "model mobilenet_v3": """
        @inproceedings{howard2019searching,
            title = {Searching for {MobileNetV3}},
            author = {Howard, Andrew and Sandler, Mark and Chu, Grace and Chen, Liang-Chieh and Chen, Bo and Tan, Mingxing and
                Wang, Weijun and Zhu, Yukun and Pang, Ruoming and Vasudevan, Vijay and Le, Quoc V. and Adam, Hartwig},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2019},
            eprint = {1905.02244},
            archiveprefix = {arXiv},
        }
    """,
    "model vit_tiny": """
        @inproceedings{dosovitskiy2021image,
            title = {An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale},
            author = {Dosovitskiy, Alexey and Beyer, Lucas and Kolesnikov, Alexander and Weissenborn, Dirk and Zhai, Xiaohua and
                Unterthiner, Thomas and Dehghani, Mostafa and Minderer, Matthias and Heigold, Georg and Gelly, Sylvain and
                Uszkoreit, Jakob and Houlsby, Neil},
            booktitle = {International Conference on Learning Representations},
            year = {2021},
            eprint = {2010.11929},
            archiveprefix = {arXiv},
        }
    """,
    "model transformers": r"""
        @inproceedings{wolf2020transformers,
            title = {Transformers: State-of-the-Art Natural Language Processing},
            author = {Wolf, Thomas and Debut, Lysandre and Sanh, Victor and Chaumond, Julien and Delangue, Clement and Moi,
                Anthony and Cistac, Pierric and Rault, Tim and Louf, R{\'e}mi and Funtowicz, Morgan and Davison, Joe and
                Shleifer, Sam and von Platen, Patrick and Ma, Clara and Jernite, Yacine and Plu, Julien and Xu, Canwen and
                Le Scao, Teven and Gugger, Sylvain and Drame, Mariama and Lhoest, Quentin and Rush, Alexander M.},
            booktitle = {Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing: System
                Demonstrations},
            year = {2020},
        }
    """,
    "model timm": """
        @misc{wightman2019pytorch,
            title = {{PyTorch} Image Models},
            author = {Wightman, Ross},
            year = {2019},
            howpublished = {https://github.com/huggingface/pytorch-image-models},
        }
    """,
    "model torchvision": """
        @misc{torchvision2016,
            title = {{TorchVision}: {PyTorch}'s Computer Vision library},
            author = {{TorchVision maintainers and contributors}},
            year = {2016},
            howpublished = {https://github.com/pytorch/vision},
        }
    """,
    "view mixup": """
        @inproceedings{zhang2018mixup,
            title = {mixup: Beyond Empirical Risk Minimization},
            author = {Zhang, Hongyi and Cisse, Moustapha and Dauphin, Yann N. and Lopez-Paz, David},
            booktitle = {International Conference on Learning Representations},
            year = {2018},
            eprint = {1710.09412},
            archiveprefix = {arXiv},
        }
    """,
    "view cutmix": """
        @inproceedings{yun2019cutmix,
            title = {{CutMix}: Regularization Strategy to Train Strong Classifiers with Localizable Features},
            author = {Yun, Sangdoo and Han, Dongyoon and Oh, Seong Joon and Chun, Sanghyuk and Choe, Junsuk and Yoo, Youngjoon},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2019},
            eprint = {1905.04899},
            archiveprefix = {arXiv},
        }
    """,
    "view cutout": """
        @misc{devries2017improved,
            title = {Improved Regularization of Convolutional Neural Networks with Cutout},
            author = {DeVries, Terrance and Taylor, Graham W.},
            year = {2017},
            eprint = {1708.04552},
            archiveprefix = {arXiv},
        }
    """,
    "view random_erasing": """
        @inproceedings{zhong2020random,
            title = {Random Erasing Data Augmentation},
            author = {Zhong, Zhun and Zheng, Liang and Kang, Guoliang and Li, Shaozi and Yang, Yi},
            booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
            year = {2020},
            eprint = {1708.04896},
            archiveprefix = {arXiv},
        }
    """,
    "optimizer adam": """
        @inproceedings{kingma2015adam,
            title = {Adam: A Method for Stochastic Optimization},
            author = {Kingma, Diederik P. and Ba, Jimmy},
            booktitle = {International Conference on Learning Representations},
            year = {2015},
            eprint = {1412.6980},
            archiveprefix = {arXiv},
        }
    """,
    "optimizer adamw": """
        @inproceedings{loshchilov2019decoupled,
            title = {Decoupled Weight Decay Regularization},
            author = {Loshchilov, Ilya and Hutter, Frank},
            booktitle = {International Conference on Learning Representations},
            year = {2019},
            eprint = {1711.05101},
            archiveprefix = {arXiv},
        }
    """,
    "schedule cosine": """
        @inproceedings{loshchilov2017sgdr,
            title = {{SGDR}: Stochastic Gradient Descent with Warm Restarts},
            author = {Loshchilov, Ilya and Hutter, Frank},
            booktitle = {International Conference on Learning Representations},
            year = {2017},
            eprint = {1608.03983},
            archiveprefix = {arXiv},
        }
    """,
    "ema": """
        @inproceedings{tarvainen2017mean,
            title = {Mean teachers are better role models: Weight-averaged consistency targets improve semi-supervised deep
                learning results},
            author = {Tarvainen, Antti and Valpola, Harri},
            booktitle = {Advances in Neural Information Processing Systems},
            year = {2017},
            eprint = {1703.01780},
            archiveprefix = {arXiv},
        }
    """,
    "option hard_targets.label_smoothing": """
        @inproceedings{szegedy2016rethinking,
            title = {Rethinking the Inception Architecture for Computer Vision},
            author = {Szegedy, Christian and Vanhoucke, Vincent and Ioffe, Sergey and Shlens, Jon and Wojna, Zbigniew},
            booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
            year = {2016},
            eprint = {1512.00567},
            archiveprefix = {arXiv},
        }
    """,
    "option soft_targets.standardize": """
        @inproceedings{sun2024logit,
            title = {Logit Standardization in Knowledge Distillation},
            author = {Sun, Shangquan and Ren, Wenqi and Li, Jingzhi and Wang, Rui and Cao, Xiaochun},
            booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
            year = {2024},
            eprint = {2403.01427},
            archiveprefix = {arXiv},
        }
    """,
}


def bibtex(recipe: BaseModel | Mapping[str, Any]) -> str:
    """The papers behind what a recipe uses: objectives and their options, models, views, optimizers, averages.

    Args:
        recipe: a recipe or a comparison, checked or as the fields that `recipe.yaml` of a run holds.

    Returns:
        BibTeX, each paper once, sorted by key; empty where there is nothing to cite.
    """
    fields = recipe.model_dump(mode="json") if isinstance(recipe, BaseModel) else recipe
    return _joined([*_of_terms(fields), *_of_parts(fields)])


def bibtex_of(name: str) -> str:
    """The paper of one objective, model or view by its name; empty where there is none to cite.

    Raises:
        UnknownNameError: nothing that cites a paper has this name; the message offers the nearest objectives.
    """
    found = [entry for what, entry in PAPERS.items() if what.split()[-1] == name]
    return _joined(found if found and name not in registry else [_objective(name)])


def merge(texts: Iterable[str]) -> str:
    """Several answers of `bibtex` and `bibtex_of` as one: each paper once, sorted by key."""
    return _joined(entry for text in texts for entry in text.split("\n\n"))


def _of_terms(fields: Mapping[str, Any]) -> Iterator[str]:
    stages = [stage["terms"] for stage in fields.get("stages", ())]
    for terms in (fields.get("terms", ()), *stages, *fields.get("variants", {}).values()):
        for term in terms:
            name, options = term["objective"], term.get("hyperparameters", {})
            yield _objective(name)
            yield from (PAPERS.get(f"option {name}.{option}", "") for option, value in options.items() if value)


def _of_parts(fields: Mapping[str, Any]) -> Iterator[str]:
    teacher, student = fields.get("teacher") or {}, fields.get("student") or {}
    yield from (PAPERS.get(f"model {model.get('model')}", "") for model in (teacher, student))
    trainings = [teacher.get("training"), fields.get("training"), fields.get("control_training")]
    for training in filter(None, trainings):
        yield from (PAPERS.get(f"view {name}", "") for view in training.get("views", ()) for name in view)
        yield PAPERS["ema"] if training.get("ema") else ""
    for place in filter(None, [*trainings, *fields.get("stages", ())]):
        optimizer = place.get("optimizer") or {}
        yield PAPERS.get(f"optimizer {str(optimizer.get('name', '')).lower()}", "")
        yield PAPERS["schedule cosine"] if "cosine" in str(optimizer.get("schedule", "")) else ""


def _objective(name: str) -> str:
    return cast(type[Objective], registry[name]).bibtex


def _joined(entries: Iterable[str]) -> str:
    by_key = {_key(entry): inspect.cleandoc(entry) for entry in entries if entry}
    return "\n\n".join(by_key[key] for key in sorted(by_key))


def _key(entry: str) -> str:
    found = re.search(r"@\w+\{([^,\s]+),", entry)
    if found is None:
        raise ValueError(f"not a BibTeX entry: {entry.strip()[:60]!r}; expected @kind{{key, …}}")
    return found[1]
