"""A DINOv2 of 3 layers x 64 dimensions in the place of rfdetr's small one, so that a test trains in seconds."""

MODEL_ARGUMENTS = {
    "num_windows": 1,
    "out_feature_indexes": [2],
    "hidden_dim": 64,
    "sa_nheads": 2,
    "ca_nheads": 4,
    "dec_layers": 2,
    "num_queries": 15,
    "group_detr": 2,
    "scale_jitter": False,
    "multi_scale": "off",
}


def install(setattr=setattr):
    """Patch the encoder, in every process that builds such a model."""
    from rfdetr.models.backbone import dinov2

    original = dinov2.get_config

    def get_config(size, use_registers):
        config = {**original(size, use_registers), "hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 3}
        return {**config, "stage_names": config["stage_names"][:4]} if "stage_names" in config else config

    setattr(dinov2, "get_config", get_config)
    setattr(dinov2, "size_to_width", {**dinov2.size_to_width, "small": 64})
