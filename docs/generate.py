"""Write the parts of the documentation that repeat the code: parameter tables and component READMEs.

``python docs/generate.py`` writes them; with ``--check`` it names the stale ones and ends with status 1.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any, get_args

import yaml

from rfdetr_train.datasets.kinds import KINDS
from rfdetr_train.params import (
    RUN_PARAMETERS,
    TRAINING_PARAMETERS,
    ModelName,
    Parameters,
    shown_default,
    type_of,
)
from rfdetr_train.rfdetr_schema import block_of

# What a user should know beyond the description; the behaviour is that of rfdetr 1.11.2.
DETAILS = {
    "dataset_dir": "A folder, a .zip or .tar(.gz, .zst) archive, or `s3://bucket/prefix` of either. `rfdetr-train "
    "detect` says what is there; [datasets.md](datasets.md) what is understood.",
    "dataset_task": "Only where the report says that the task is ambiguous. A detector is trained on boxes in any "
    "case; `obb` is refused.",
    "on_data_error": "Which findings are errors, and what `drop` leaves out: "
    "[datasets.md](datasets.md#what-findings-do).",
    "output_dir": "Relative to where the training runs. A folder that holds the checkpoints of another run, or of a "
    "finished one, is refused.",
    "epochs": "A train split of fewer than 5 effective batches is repeated until an epoch has 5; the log says so.",
    "batch_size": "Of one process. Evaluation uses it too.",
    "grad_accum_steps": "rfdetr's own default has become 1; the contract keeps 4.",
    "lr": "The decoder gets 0.7 of it (`lr_component_decay` in `extra_train_args`).",
    "lr_encoder": "Each encoder layer gets less than the one after it (`lr_vit_layer_decay` in `extra_train_args`).",
    "device": "Which GPUs is a matter of `gpus_per_node` and CUDA_VISIBLE_DEVICES; `cuda:1` is refused.",
    "use_ema": "Without it there is no `checkpoint_best_ema.pth`.",
    "checkpoint_interval": "`checkpoint_<N>.pth` is kept after N completed epochs, for every multiple N.",
    "resume": """\
Without it the training begins at the start, unless it is one that was interrupted: the same command in the same \
`output_dir`, and a retry of the KFP step, continue an unfinished run by themselves, in the same MLflow run and \
from its newest commit. With it:

- `auto`: as without it, and also where `output_dir` is empty: the newest run of the same `experiment` and `run` \
name is continued if it did not finish and has the same parameters and dataset. A finished one never is: a schedule \
that reuses a name starts afresh. In KFP only a run of the same KFP run counts.
- `runs:/<run id>`: that MLflow run is continued from its newest published commit; where it is finished, a new run \
begins from there.
- `s3://bucket/…/checkpoints`: a new run begins from the newest published commit in the artifact folder of a run.
- A path, or `s3://…/checkpoint.pth`: a `checkpoint.pth` or `checkpoint_<N>.pth`, or a folder with the first; the \
others hold no optimizer and are refused. The best files and the metrics beside a path come along to `output_dir`; \
a path inside the `output_dir` of an unfinished run continues that run.

Refused, with both values: another model, dataset fingerprint, class list, seed, or number of images in an \
optimizer step (the effective batch size); also a checkpoint that has `epochs` behind it already, a damaged one, \
and one that cannot be loaded without unpickling. A run that diverged, or ran out of memory with the same batch, is \
not continued.

Free to change: `epochs`, the number of processes and the split of the batch with the same product, `num_workers`, \
the intervals of checkpoints, `hang_timeout`, names, prices and resources. Without `resume`, or with `auto`, any \
other change makes it another training, for which `output_dir` has to be another too.""",
    "checkpoint_every_steps": "At the end of an epoch there always is one. One that is due while the one before is "
    "still being written comes at the next step after that: the training does not wait.",
    "checkpoint_every_seconds": "What a killed training loses at most, beside the time to publish the commit. It is "
    "taken at the next optimizer step.",
    "hang_timeout": "Loading data, a batch of a validation and waiting for another rank all count. The stacks of all "
    "threads go to the log, and the exit code is 70.",
    "gpu_hour_price": "In whatever currency; the report multiplies it with the GPU hours of all attempts.",
    "early_stopping_patience": "Counted in validations, one an epoch.",
    "early_stopping_use_ema": "False watches the better of the raw and the EMA score.",
    "wandb": "Needs WANDB_API_KEY, or WANDB_MODE=offline.",
    "seed": "The same seed, data and number of processes start from the same weights.",
    "extra_train_args": 'For example `{"warmup_epochs": 1, "multi_scale": "off"}`. Checked against the schema of the '
    "pinned rfdetr before anything starts; what has a parameter of its own, or is decided from the data, is refused.",
}

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- generated: {} -->", "<!-- end of generated -->"


def parameter_table(names: tuple[str, ...]) -> str:
    """Markdown table of parameters."""
    rows = [
        f"| [`{name}`](docs/parameters.md#{name}) | {type_of(name)} | {_default(name)} | {_description(name)} |"
        for name in names
    ]
    return "\n".join(["| parameter | type | default | description |", "|---|---|---|---|", *rows])


def readme() -> str:
    """The README with its parameter tables up to date."""
    return _filled(
        ROOT / "README.md",
        "parameters",
        f"\n**RF-DETR's training parameters**\n\n{parameter_table(TRAINING_PARAMETERS)}\n\n"
        f"**Parameters of the run**\n\n{parameter_table(RUN_PARAMETERS)}\n",
    )


def datasets_page() -> str:
    """The page on datasets with its table of findings up to date."""
    rows = [f"| `{code}` | {kind.severity} | {kind.message} | {kind.fix} |" for code, kind in KINDS.items()]
    table = "\n".join(["| code | severity | what | what to do, or what is done |", "|---|---|---|---|", *rows])
    return _filled(ROOT / "docs" / "datasets.md", "findings", f"\n{table}\n")


def _filled(path: Path, name: str, content: str) -> str:
    """A page with new content between its marks."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN.format(name))
    return f"{before}{BEGIN.format(name)}\n{content}\n{END}{rest.split(END, 1)[1]}"


def parameters_page() -> str:
    """The reference: one section a parameter."""
    blocks = ", ".join(f"{name} {block_of(name, {})}" for name in get_args(ModelName))
    head = (
        "# Parameters\n\nThe same names and values everywhere: the form of the Kubeflow UI, `kfp run create`, "
        "`rfdetr-pipelines run`, `rfdetr-train train`. Values may be text; whole numbers may come as 1.0. "
        'In KFP, "not set" is `""` for text and `0` for `resolution`.\n\n'
        f"`resolution` must be a multiple of the model's block ({blocks}). Another multiple of 56 is rounded up to "
        "the next multiple of the block, and the log and the MLflow run say so.\n\n"
        "Effective batch size = `batch_size` x `grad_accum_steps` x `gpus_per_node` x `num_nodes`.\n"
    )
    groups = (("RF-DETR's training parameters", TRAINING_PARAMETERS), ("Parameters of the run", RUN_PARAMETERS))
    sections = [
        f"\n## {title}\n" + "".join(f"\n### {name}\n\n{_entry(name)}\n" for name in names) for title, names in groups
    ]
    return head + "".join(sections)


def component_readme(folder: Path) -> str:
    """README of a component or pipeline, from its docstring and ``metadata.yaml``."""
    asset = _load(folder)
    spec, metadata = asset.component_spec, yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
    document = inspect.getdoc(asset.python_func if hasattr(asset, "python_func") else asset.pipeline_func) or ""
    dependencies = [
        f"{entry['name']} {entry['version']}" for group in metadata["dependencies"].values() for entry in group
    ]
    parts = [
        f"# {folder.name}",
        document.split("\n\nArgs:")[0],
        f"Stability: {metadata['stability']}. Needs {', '.join(dependencies)}.",
        "## Inputs\n\n" + _io_table(spec.inputs, document),
    ]
    if spec.outputs:
        parts.append("## Outputs\n\n" + _io_table(spec.outputs, document))
    return "\n\n".join(parts) + "\n"


def generated() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    folders = sorted(path.parent for path in ROOT.glob("*/**/metadata.yaml") if ".venv" not in path.parts)
    return {
        ROOT / "README.md": readme(),
        ROOT / "docs" / "parameters.md": parameters_page(),
        ROOT / "docs" / "datasets.md": datasets_page(),
        **{folder / "README.md": component_readme(folder) for folder in folders},
    }


def _load(folder: Path) -> Any:
    parts = folder.relative_to(ROOT).parts
    package = ".".join(parts[1:] if parts[0] == "pipelines" else parts)
    module = "pipeline" if parts[0] == "pipelines" else "component"
    return getattr(importlib.import_module(f"rfdetr_pipelines.{package}.{module}"), folder.name)


def _io_table(entries: dict[str, Any] | None, document: str) -> str:
    rows = [
        f"| `{name}` | {_kfp_type(entry)} | {_kfp_default(entry)} | {_documented(name, document)} |"
        for name, entry in (entries or {}).items()
    ]
    return "\n".join(["| name | type | default | description |", "|---|---|---|---|", *rows])


def _kfp_type(entry: Any) -> str:
    return str(entry.type).split("@")[0]


def _kfp_default(entry: Any) -> str:
    default = getattr(entry, "default", None)
    return "" if default is None else f"`{default!r}`"


def _documented(name: str, document: str) -> str:
    """Description of an argument or a return value in a Google docstring."""
    lines = document.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith(f"    {name}: ")]
    if not starts:
        return ""
    first = starts[0]
    following = []
    for line in lines[first + 1 :]:
        if not line.startswith("        "):
            break
        following.append(line.strip())
    return " ".join([lines[first].split(": ", 1)[1], *following])


def _description(name: str) -> str:
    return (Parameters.model_fields[name].description or "").replace("|", "\\|")


def _default(name: str) -> str:
    shown = shown_default(name)
    return f"`{shown.removeprefix('default: ')}`" if shown.startswith("default: ") else shown


def _entry(name: str) -> str:
    detail = f"\n\n{DETAILS[name]}" if name in DETAILS else ""
    return f"{_description(name)}\n\nType {type_of(name)}; {shown_default(name)}.{detail}"


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    wanted = generated()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is stale: run 'make compile'.", file=sys.stderr)
        else:
            path.write_text(wanted[path], encoding="utf-8")
            print(f"Wrote {path.relative_to(ROOT)}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
