"""Write the files of the best models, each atomically; rfdetr 1.11.2 writes in place, so a kill leaves half a file."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from rfdetr.training import BestModelCallback
from rfdetr.utilities.state_dict import strip_checkpoint

from rfdetr_train.checkpoints.files import BEST_EMA, BEST_REGULAR, BEST_TOTAL
from rfdetr_train.checkpoints.load import COMPLETED_EPOCHS, completed_epochs, load
from rfdetr_train.files import atomic_replace


class BestCheckpoints(BestModelCallback):
    """rfdetr's choice of the best models, written atomically and with ``checkpoint_best_total.pth`` always current."""

    def __init__(self, stock: BestModelCallback) -> None:
        """Take over the settings of the callback that ``build_trainer`` made.

        Args:
            stock: rfdetr's own callback, which this one replaces.
        """
        assert stock.monitor is not None
        super().__init__(
            output_dir=str(stock._output_dir),
            monitor_regular=stock.monitor,
            monitor_ema=stock._monitor_ema,
            run_test=False,
            skip_best_epochs=stock._skip_best_epochs,
            smooth_alpha=stock._smooth_alpha,
            evaluates_base_model=stock._evaluates_base_model,
        )
        self._total_is: tuple[str, float] | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let rfdetr choose, then bring ``checkpoint_best_total.pth`` up to date."""
        super().on_validation_end(trainer, pl_module)
        if trainer.is_global_zero and not trainer.sanity_checking:
            self._update_total()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the EMA file of a run whose EMA score never left zero; rfdetr's other work here is done already."""
        best_ema = self._output_dir / BEST_EMA
        if not trainer.is_global_zero or self._monitor_ema is None or best_ema.exists():
            return
        weights = self._get_ema_model_state_dict(trainer, pl_module)
        self._write_ema_checkpoint(trainer, pl_module, weights, best_ema)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best scores, also into another folder, as far as the files that they stand for are there."""
        state = dict(state_dict)
        regular = self._output_dir / BEST_REGULAR
        score = state.get("best_model_score") if regular.is_file() else None
        # Lightning forgets the scores when the folder differs; the files came along, so the scores hold here too.
        state |= {"dirpath": self.dirpath, "best_model_score": score}
        if score is None:
            state |= {
                "best_model_path": "",
                "kth_best_model_path": "",
                "best_k_models": {},
                "kth_value": self.kth_value,
            }
        else:
            path = str(regular)
            state |= {"best_model_path": path, "kth_best_model_path": path, "best_k_models": {path: score}}
        if not (self._output_dir / BEST_EMA).is_file():
            state["_best_ema"] = 0.0
        super().load_state_dict(state)
        self.current_score = state.get("current_score")  # Lightning saves it and forgets to restore it

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        if not trainer.is_global_zero:
            return
        with atomic_replace(Path(filepath)) as temporary, _without_log_of_temporary_name():
            super()._save_checkpoint(trainer, str(temporary))

    def _write_ema_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, ema_state_dict: dict[str, Any], dest: Path
    ) -> None:
        with atomic_replace(dest) as temporary:
            super()._write_ema_checkpoint(trainer, pl_module, ema_state_dict, temporary)

    def _update_total(self) -> None:
        leader = self._leader()
        if leader is None or leader == self._total_is:
            return
        source = BEST_EMA if leader[0] == "ema" else BEST_REGULAR
        epochs = completed_epochs(load(self._output_dir / source, parameter="output_dir"))
        with atomic_replace(self._output_dir / BEST_TOTAL) as temporary:
            shutil.copyfile(self._output_dir / source, temporary)
            strip_checkpoint(temporary, extra_metadata={"best_total_source": leader[0], COMPLETED_EPOCHS: epochs})
        self._total_is = leader

    def _leader(self) -> tuple[str, float] | None:
        """The better track and its score; as in rfdetr, the EMA model must be strictly better."""
        regular = None if self.best_model_score is None else float(self.best_model_score)
        if self._smooth_alpha > 0 and regular is not None:
            regular = self._best_raw_regular
        if self._monitor_ema is not None and self._best_ema > (regular or 0.0):
            return "ema", self._best_ema
        return None if regular is None else ("regular", regular)


def drop_stock_checkpoints(callbacks: list[Callback]) -> BestModelCallback:
    """Remove rfdetr's own checkpoint callbacks from a list, in place.

    Returns:
        Its callback for the best models, for :class:`BestCheckpoints`.
    """
    stock = next(callback for callback in callbacks if type(callback) is BestModelCallback)
    callbacks[:] = [callback for callback in callbacks if type(callback) not in (ModelCheckpoint, BestModelCallback)]
    return stock


@contextmanager
def _without_log_of_temporary_name() -> Iterator[None]:
    """Keep rfdetr from naming, in the log, the path that is only written to be renamed."""
    logger = logging.getLogger("rf-detr")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
